# Renders the chat template of a directory as Hugging Face's tools do: render.py DIRECTORY MESSAGES
import json
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment

conf = json.load(open(f"{sys.argv[1]}/tokenizer_config.json"))
template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
    conf["chat_template"])
print(template.render(messages=json.loads(sys.argv[2]), add_generation_prompt=True), end="")
