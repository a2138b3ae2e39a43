from configs import pocket
from vision_banana.bench import perceive
from vision_banana.models import flops


def test_times_and_operations_of_one_answer(monkeypatch):
    monkeypatch.setattr(perceive, "STEPS", (1, 2))
    monkeypatch.setattr(perceive, "ANSWERS", 2)
    settings = pocket.get_config().to_dict()
    settings["model"] |= {"size": "nano", "text_length": 6, "dtype": "float32"}
    settings["data"]["size"] = 16
    result = perceive.compare(1, settings)
    model = perceive.Generator(**settings["model"])
    two = flops.Batch(2, 1, 1, 4, 4, 6)
    once, each = (sum(f(model, two).values()) / 2 for f in (flops.encode, flops.denoise))
    assert result["flops"]["once an answer, 2"] == once + 2 * each
    assert result["flops"]["anew, 2"] == 2 * (once + each)
    # Two prompts share a pass over the picture, of which a third of the encoding is for text.
    assert once / 2 < result["flops"]["shared, 1"] - each < once
    assert all(x["rounds"] == 1 and x["median"] > 0 for x in result["seconds"].values())
    lines = perceive.report(result).splitlines()
    assert len(lines) == 3 + 6 and "2 at a time" in lines[0]
