"""The package `openai` for Python: pip install openai; python openai_client.py"""

import os
import sys

import openai

client = openai.OpenAI(
    base_url=os.environ.get("VERBATIM_URL", "http://127.0.0.1:8000/v1"),
    api_key=os.environ.get("VERBATIM_API_KEY", "none"),
)
models = [m.id for m in client.models.list()]
print("models:", *models)

messages = [{"role": "user", "content": "Tell me a tale."}]
whole = client.chat.completions.create(model=models[0], messages=messages, max_tokens=40, seed=7)
text = whole.choices[0].message.content
details = whole.usage.completion_tokens_details
print("text:", repr(text))
print("accepted drafts:", details.accepted_prediction_tokens, "rejected:", details.rejected_prediction_tokens)

streamed = ""
# What is not of the API goes into extra_body, and comes back as further attributes.
for chunk in client.chat.completions.create(
    model=models[0], messages=messages, max_tokens=40, seed=7, stream=True, extra_body={"verbatim": True}
):
    streamed += chunk.choices[0].delta.content or ""
print("stream:", "the same text" if streamed == text else "ANOTHER TEXT")

try:
    client.chat.completions.create(model="no-such-model", messages=messages)
except openai.NotFoundError as e:
    print("an unknown model:", e.status_code, e.code)
sys.exit(streamed != text)
