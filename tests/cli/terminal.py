"""terminal.py COMMAND... < SCRIPT - runs a command on a terminal of its own and talks with it.

The script has a line per step:
    see TEXT        waits until TEXT stands in what was written since the last `see` (10 s)
    type TEXT       types it; \\r, \\t, \\x1b and so on as in Python
    paste TEXT      as a terminal does that marks what is pasted
    interrupt       Ctrl-C, as the terminal sends it
    ready           waits for the next prompt; with lines edited (VB_EDITS=1) it comes behind the mark for pastes
    pause SECONDS   takes what comes meanwhile
    never TEXT      TEXT is nowhere in all that was written so far
    size ROWS COLS  the window changes its size
    end STATUS      waits for the end with this exit status
The first step that fails is printed with what the terminal showed."""
import fcntl, os, pty, select, signal, struct, sys, termios, time

pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
seen, fresh, over = "", "", False


def take(seconds):
    """What comes within the time; False at the end."""
    global seen, fresh, over
    if over or not select.select([fd], [], [], seconds)[0]:
        return not over
    try:
        data = os.read(fd, 65536)
    except OSError:
        data = b""
    over = not data
    text = data.decode("utf-8", "replace")
    seen += text
    fresh += text
    return not over


def fail(step):
    print(f"step {step!r} failed; the terminal showed:")
    print("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in seen[-3000:]))
    os.kill(pid, signal.SIGKILL)
    sys.exit(1)


def see(text, step):
    global fresh
    until = time.time() + 10 * float(os.environ.get("VB_SLOW", "1"))
    while text not in fresh:
        if over or time.time() > until:
            fail(step)
        take(0.1)
    fresh = fresh[fresh.index(text) + len(text):]


for step in sys.stdin.read().split("\n"):
    word, _, rest = step.strip().partition(" ")
    rest = rest.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in rest else rest
    if word == "see":
        see(rest, step)
    elif word == "ready":
        if os.environ.get("VB_EDITS") == "1":
            see("\x1b[?2004h", step)
        see("> ", step)
        while os.environ.get("VB_EDITS") == "1" and termios.tcgetattr(fd)[3] & termios.ICANON:
            take(0.01)  # the prompt stands there a moment before the keys are asked for
    elif word == "type":
        os.write(fd, rest.encode())
    elif word == "paste":
        os.write(fd, b"\x1b[200~" + rest.encode() + b"\x1b[201~")
    elif word == "interrupt":
        os.write(fd, b"\x03")
    elif word == "pause":
        until = time.time() + float(rest)
        while time.time() < until:
            take(0.05)
    elif word == "never":
        if rest in seen:
            fail(step)
    elif word == "size":
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *map(int, rest.split()), 0, 0))
        os.kill(pid, signal.SIGWINCH)
    elif word == "end":
        until = time.time() + 10
        while take(0.1) and time.time() < until:
            pass
        if not over:
            fail(step)
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) != int(rest):
            print(f"exit status {os.waitstatus_to_exitcode(status)}")
            fail(step)
    elif word:
        sys.exit(f"terminal.py: no such step: {step}")
