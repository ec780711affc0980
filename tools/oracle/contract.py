#!/usr/bin/env python3
"""The contract of docs/numerics.md again, in NumPy and from that page alone: the same bits without any code of Verbatim. Slow by design.

  contract.py RECORDING...     recordings of `verbatim record` (docs/vectors.md), in a folder beside their models/: compares the logits bit by bit
  Types: F32, F16, BF16, Q8_0, Q2_K, Q4_K, Q6_K.
"""
import json, os, sys, numpy as np
from fractions import Fraction
sys.path.insert(0,os.path.dirname(os.path.abspath(__file__)))
import oracle as O
f4=np.float32; f8=np.float64
def fma32(a,b,c):
    a,b,c=np.broadcast_arrays(f8(f4(a)) if np.isscalar(a) else a.astype(f8), f8(f4(b)) if np.isscalar(b) else b.astype(f8), f8(f4(c)) if np.isscalar(c) else c.astype(f8))
    p=a*b; s=p+c; bb=s-p; e=(p-(s-bb))+(c-bb)
    u=s.view(np.int64).copy() if s.ndim else np.array(s).view(np.int64)
    odd=(u&1)!=0; adj=(e!=0)&~odd
    up=(e>0)==(s>0)
    u=np.where(adj,np.where(up,u+1,u-1),u)
    return u.view(f8).astype(f4)
def fma64(a,b,c): return float(Fraction(a)*Fraction(b)+Fraction(c))
H=float.fromhex
def expf(x):
    x=np.asarray(x,f4); M=f4(H('0x1.8p23'))
    t=fma32(x,f4(H('0x1.715476p+0')),M); n=t-M
    r=fma32(n,f4(-H('0x1.62e43p-1')),x); r=fma32(n,f4(H('0x1.05c61p-29')),r)
    q=np.full_like(r,f4(H('0x1.9dfbe4p-13')))
    for c in ['0x1.6d4cc8p-10','0x1.11130ep-7','0x1.5554e8p-5','0x1.555554p-3','0x1.0p-1']: q=fma32(q,r,f4(H(c)))
    e=f4(1)+fma32(r*r,q,r)
    b=(e.view(np.uint32)+(t.view(np.uint32)<<np.uint32(23))).view(f4)
    b=np.where(x<f4(-H('0x1.5d589ep+6')),f4(0),b); return np.where(x>f4(H('0x1.62e42ep+6')),f4(np.inf),b).astype(f4)
def bits(x): return int(np.array(x,f8).view(np.uint64))
def dbl(u): return float(np.array(u&(2**64-1),np.uint64).view(f8))
MAG=H('0x1.8p52')
EC=[H(x) for x in '0x1.af66cc8df50ecp-26  0x1.27e5927ce898ap-22  0x1.71ddf37f3a856p-19  0x1.a01a01502f121p-16  0x1.a01a01b1e74a1p-13 0x1.6c16c16c275c2p-10  0x1.111111110f162p-7   0x1.5555555555530p-5   0x1.555555555555ap-3   0x1.0p-1'.split()]
LH=H('0x1.62e42fefa4000p-1'); LL=-H('0x1.8432a1b0e2634p-43')
def expq(r):
    q=H('0x1.1e5df021d9b02p-29')
    for c in EC: q=q*r+c
    return q
def split(x):
    k=0
    if x<2.0**-1022: x*=2.0**54; k=-54
    B=bits(x)+(0x3ff0000000000000-0x3fe6a09e667f3bcd); k+=(B>>52)-1023
    return k,dbl((B&(2**52-1))+0x3fe6a09e667f3bcd)
def zR(z):
    R=H('0x1.0f1338ea2b437p-3')
    for c in '0x1.0f66b39585589p-3  0x1.3b202a84e16e3p-3  0x1.745ce1a87c199p-3  0x1.c71c724bc1de9p-3 0x1.249249243940fp-2  0x1.9999999999d13p-2  0x1.5555555555555p-1'.split(): R=fma64(R,z,H(c))
    return z*R
def pow_(b,y):
    k,m=split(b); f=m-1; d=2+f; dlo=f-(d-2); s=f/d; slo=(fma64(-s,d,f)-s*dlo)/d
    tail=fma64(s,zR(s*s),2*slo)+k*LL; A=k*LH; B=2*s; S=A+B; rest=(0.0 if k==0 else B-(S-A))+tail
    lh=S+rest; ll=rest-(lh-S); yh=y*lh; yl=fma64(y,lh,-yh)+y*ll
    t=yh*H('0x1.71547652b82fep+0')+MAG; n=t-MAG; r0=yh-n*LH; w=yl-n*LL; r=r0+w; c=(r0-r)+w; e=1+(r+((r*r)*expq(r)+c))
    return dbl(bits(e)+(bits(t)<<52))
def sincos(x):
    t=fma64(x,H('0x1.45f306dc9c883p-1'),MAG); n=t-MAG; r0=fma64(-n,H('0x1.921fb54442d18p+0'),x); P2=H('0x1.1a62633145c07p-54')
    w=n*P2; wl=fma64(n,P2,-w); r=r0-w; back=r-r0; rl=(r0-(r-back))-(w+back); rl=(rl-wl)-n*(-H('0x1.f1976b7ed8fbcp-110'))
    z=r*r; half=0.5*z; q=H('0x1.5d9312ba377b9p-33')
    for c in '-0x1.ae5e66e1e7a39p-26  0x1.71de35793b8aep-19  -0x1.a01a019c146f3p-13 0x1.111111110f89ep-7  -0x1.5555555555549p-3'.split(): q=fma64(q,z,H(c))
    sine=r+fma64(r*z,q,rl*(1-half)); q=-H('0x1.8fb09d892e139p-37')
    for c in '0x1.1ee9f05b60a66p-29  -0x1.27e4f8118b14bp-22  0x1.a01a019cbe2edp-16 -0x1.6c16c16c15218p-10  0x1.555555555554cp-5'.split(): q=fma64(q,z,H(c))
    near=1-half; cosine=near+(((1-near)-half)+fma64(z*z,q,-(r*rl)))
    return [(sine,cosine),(cosine,-sine),(-sine,-cosine),(-cosine,sine)][bits(t)&3]
def tree(l):  # (...,16)
    for s in (8,4,2,1): l=l[...,:s]+l[...,s:2*s]
    return l[...,0]
def tree16(w,x):
    n=w.shape[-1]; sh=np.broadcast_shapes(w.shape[:-1],x.shape[:-1]); l=np.zeros(sh+(16,),f4)
    for i in range(0,n,16):
        k=min(16,n-i); l[...,:k]=fma32(w[...,i:i+k],x[...,i:i+k],l[...,:k])
    return tree(l)
def rms(x,w,eps):
    r=f4(1)/np.sqrt(tree16(x,x)/f4(x.shape[-1])+f4(eps)); return (x*r)*w
def quant(x,L):
    g=x.reshape(-1,32); a=np.abs(g).max(1); z=a<f4(2.0**-100)
    d=np.where(z,f4(0),a/f4(L)).astype(f4); inv=np.where(z,f4(0),f4(L)/np.where(z,f4(1),a)).astype(f4)
    q=np.clip(np.rint(g*inv[:,None]),-L,L).astype(np.int64); return q,d
def half(b): return np.ascontiguousarray(b).view('<f2').astype(f4)[:,0]
class Mat:
    def __init__(s,g,name,L):
        dims,t,off=g.tensors[name]; _,nv,nb=O.TYPES[t]; size=int(np.prod(dims))//nv*nb
        raw=np.array(g.data[g.base+off:g.base+off+size]); s.rows,s.cols=dims; s.L=L; s.t=t
        s.val=O.dequantize(raw,t).reshape(dims)
        if t in (0,1,30): return
        b=raw.reshape(-1,nb); n=len(b)
        if t==8: q=b[:,2:].view('i1').astype(np.int64).reshape(n,1,32); d=half(b[:,:2])[:,None]; m=np.zeros((n,1),f4); sc=np.ones((n,1,2),np.int64); mn=np.zeros((n,1,2),np.int64)
        elif t==12:
            k,mm=O.k4_scales(b[:,4:16]); q=O.planes(b[:,-128:].reshape(n,4,32),4).reshape(n,8,32).astype(np.int64)
            d=half(b[:,:2])[:,None]*k.astype(f4); m=half(b[:,2:4])[:,None]*mm.astype(f4); sc=np.ones((n,8,2),np.int64); mn=np.ones((n,8,2),np.int64)
        elif t==14:
            l=b[:,:128].reshape(n,2,64); q=np.concatenate([l&15,l>>4],2).reshape(n,2,4,32)|O.planes(b[:,128:192].reshape(n,2,32),2)<<4
            q=q.reshape(n,8,32).astype(np.int64)-32; d=np.repeat(half(b[:,208:210])[:,None],8,1); m=np.zeros((n,8),f4); sc=b[:,192:208].view('i1').astype(np.int64).reshape(n,8,2); mn=np.zeros((n,8,2),np.int64)
        elif t==10:
            q=O.planes(b[:,16:80].reshape(n,2,32),2).reshape(n,8,32).astype(np.int64); s_=b[:,:16].astype(np.int64).reshape(n,8,2)
            d=np.repeat(half(b[:,80:82])[:,None],8,1); m=np.repeat(half(b[:,82:84])[:,None],8,1); sc=s_&15; mn=s_>>4
        r=s.rows; s.q=q.reshape(r,-1,32); s.d=d.reshape(r,-1); s.m=m.reshape(r,-1); s.sc=sc.reshape(r,-1,2); s.mn=mn.reshape(r,-1,2)
    def mul(s,x):
        if s.t in (0,1,30): return tree16(s.val.astype(f4),x[None,:])
        xq,xd=quant(x,s.L); p=(s.q*xq[None]).reshape(s.rows,-1,2,16).sum(3); isum=(s.sc*p).sum(2); xs=xq.reshape(-1,2,16).sum(2); msum=(s.mn*xs[None]).sum(2)
        acc=np.zeros(s.rows,f4)
        fi=isum.astype(f4); fm=msum.astype(f4)
        inner=fma32(s.d,fi,-(s.m*fm))
        for b in range(inner.shape[1]): acc=fma32(np.full(s.rows,xd[b],f4),inner[:,b],acc)
        return acc
def run(path,ids,L,kvt):
    g=O.Gguf(path); a=g.kv['general.architecture'].decode(); k=lambda n,d=None:g.kv.get(a+'.'+n,d)
    D,NL,Hh=k('embedding_length'),k('block_count'),k('attention.head_count'); G=k('attention.head_count_kv',Hh); n=k('attention.key_length',D//Hh); rot=k('rope.dimension_count',n); eps=k('attention.layer_norm_rms_epsilon'); base=float(k('rope.freq_base',10000.0))
    W={}
    def M(name):
        if name not in W: W[name]=Mat(g,name,L)
        return W[name]
    V=lambda name: g.tensor(name).astype(f4)
    freq=[pow_(base,-(2.0*j)/rot) for j in range(rot//2)]
    if "rope_freqs.weight" in g.tensors: freq=[a_/float(b_) for a_,b_ in zip(freq,V("rope_freqs.weight"))]
    pass; scale=f4(1)/np.sqrt(f4(n)); K=[[] for _ in range(NL)]; Vv=[[] for _ in range(NL)]; logits=[]
    emb=M('token_embd.weight')
    for p,tok in enumerate(ids):
        x=emb.val[tok].astype(f4); cs=[sincos(float(p)*1.0*f) for f in freq]; c=np.array([v[1] for v in cs]).astype(f4); s=np.array([v[0] for v in cs]).astype(f4)
        def rope(h):
            h=h.copy(); A,B=(h[:,0:rot:2].copy(),h[:,1:rot:2].copy()) if a=='llama' else (h[:,:rot//2].copy(),h[:,rot//2:rot].copy())
            na=fma32(A,np.broadcast_to(c,A.shape),-(B*s)); nb=fma32(A,np.broadcast_to(s,A.shape),B*c)
            if a=='llama': h[:,0:rot:2]=na; h[:,1:rot:2]=nb
            else: h[:,:rot//2]=na; h[:,rot//2:rot]=nb
            return h
        for l in range(NL):
            P=f'blk.{l}.'; h=rms(x,V(P+'attn_norm.weight'),eps); q,kk,v=(M(P+f'attn_{z}.weight').mul(h) for z in 'qkv')
            if P+'attn_q.bias' in g.tensors: q,kk,v=(y+V(P+f'attn_{z}.bias') for y,z in ((q,'q'),(kk,'k'),(v,'v')))
            q,kk,v=q.reshape(Hh,n),kk.reshape(G,n),v.reshape(G,n)
            if P+'attn_q_norm.weight' in g.tensors:
                q=np.stack([rms(z,V(P+'attn_q_norm.weight'),eps) for z in q]); kk=np.stack([rms(z,V(P+'attn_k_norm.weight'),eps) for z in kk])
            q,kk=rope(q),rope(kk); K[l].append(kk.astype(kvt).astype(f4)); Vv[l].append(v.astype(kvt).astype(f4)); heads=[]
            for hh in range(Hh):
                kv=hh//(Hh//G); ks=np.stack([z[kv] for z in K[l]]); vs=[z[kv] for z in Vv[l]]
                sj=tree16(ks,q[hh][None])*scale; e=expf(sj-sj.max()); lane=np.zeros(16,f4); acc=np.zeros(n,f4)
                for j in range(p+1): lane[j%16]=lane[j%16]+e[j]; acc=fma32(np.full(n,e[j],f4),vs[j],acc)
                heads.append(acc/tree(lane))
            x=x+M(P+'attn_output.weight').mul(np.concatenate(heads)); h=rms(x,V(P+'ffn_norm.weight'),eps)
            gg=M(P+'ffn_gate.weight').mul(h); u=M(P+'ffn_up.weight').mul(h); hid=(gg/(f4(1)+expf(-gg)))*u; x=x+M(P+'ffn_down.weight').mul(hid)
        out=M('output.weight' if 'output.weight' in g.tensors else 'token_embd.weight'); logits.append(out.mul(rms(x,V('output_norm.weight'),eps)))
    return np.stack(logits)
def main():
    np.seterr(all='ignore'); bad=0
    for path in sys.argv[1:]:
        with open(path) as f: lines=[json.loads(l) for l in f]
        head=lines[0]; model=os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(path))),head['model'])
        ids=next(l['tokens'] for l in lines if 'prompt' in l)
        mine=run(model,ids,16256 if head['activations']=='q16' else 127,f4 if head['kv']=='f32' else np.float16)
        for l in lines:
            if l.get('op')!='logits': continue
            row=mine[l['position']].view('<u4'); want=l['f32'] if 'f32' in l else l['first']+l['last']
            if 'f32' not in l: row=np.concatenate([row[:8],row[-8:]])
            n=sum('%08x'%v!=want[8*i:8*i+8] for i,v in enumerate(row)); bad+=n>0
            if n: print(f"{path}: position {l['position']}: {n} of {len(row)} logits differ")
        print(path,'compared')
    sys.exit(bad>0)
if __name__=='__main__': main()
