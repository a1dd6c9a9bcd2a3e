"""check_transformers.py MINKE FOLDER: a folder that minke wrote means the same to transformers.

The weights load with nothing missing as the class that config.json names; logits agree with
`minke logits` to 1e-4; tokenizer and chat template give the ids of `minke render`.
Exit status 0: all holds, 1: something does not, 77: transformers cannot be used here."""

import json
import random
import subprocess
import sys

try:
    import torch
    import transformers
    from transformers import AutoConfig, AutoTokenizer
except ImportError as e:
    print(f"skip: {e}")
    sys.exit(77)

minke, folder = sys.argv[1:]
transformers.logging.set_verbosity_error()
failed = False
config = AutoConfig.from_pretrained(folder)
arch = config.architectures[0]
if not hasattr(transformers, arch):
    print(f"skip: transformers {transformers.__version__} has no {arch}")
    sys.exit(77)


def check(ok, text):
    global failed
    failed |= not ok
    print("ok  " if ok else "FAIL", text)


def run(*args, **kwargs):
    done = subprocess.run([minke, *args], stdout=subprocess.PIPE, check=True, **kwargs)
    return json.loads(done.stdout)


def load_model():
    """The layer for the token after the next is not part of transformers' model."""
    model, info = getattr(transformers, arch).from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    extra = f"model.layers.{config.num_hidden_layers}."
    missing = list(info["missing_keys"])
    unknown = [k for k in info["unexpected_keys"] if not k.startswith(extra)]
    check(not missing and not unknown, f"{arch}: missing {missing}, unknown {unknown}")
    return model.eval()


def compare_logits(model):
    rng = random.Random(1)
    for n in (1, 2, 7, 40, 100):
        ids = [rng.randrange(config.vocab_size) for _ in range(n)]
        with torch.no_grad():
            want = model(torch.tensor([ids])).logits[0].float()
        got = run("logits", "-m", folder, "--json", "--ids", ",".join(map(str, ids)))
        diff = (torch.tensor(got["last"]) - want[-1]).abs().max().item()
        scale = max(1.0, want[-1].abs().max().item())
        same = got["argmax"] == want.argmax(-1).tolist()
        check(diff <= 1e-4 * scale, f"{n} tokens: max|d| {diff:.2e} of {scale:.1f}")
        check(same, f"{n} tokens: the same most likely token in every row")


def compare_prompts(tokenizer):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 12 + 30?\n\tÄ 漢字 isn't  5,000"},
        {"role": "assistant", "content": "42."},
        {"role": "user", "content": "And 7 * 8?"},
    ]
    for thinking in (True, False):
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, thinking=thinking
        )
        got = run(
            "render", "-m", folder, "--thinking", "on" if thinking else "off",
            "--messages", "/dev/stdin", input=json.dumps({"messages": turns}).encode(),
        )
        how = "with thoughts" if thinking else "without thoughts"
        check(got["text"] == text, f"chat template, {how}")
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        check(got["ids"] == ids, f"{len(ids)} ids, {how}")


print(f"transformers {transformers.__version__}, torch {torch.__version__}, {folder}")
compare_logits(load_model())
compare_prompts(AutoTokenizer.from_pretrained(folder))
sys.exit(failed)
