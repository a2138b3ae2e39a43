import pytest

from configs import base
from experiments import points

SEEDS = points.values("seed", [0, 1])
RATES = points.values("optimizer.learning_rate", [1e-3, 1e-4])
CONFIG = "configs/quickstart.py:tune"


def test_product_zip_and_list():
    assert points.product(SEEDS, RATES) == [
        {"seed": 0, "optimizer.learning_rate": 1e-3},
        {"seed": 0, "optimizer.learning_rate": 1e-4},
        {"seed": 1, "optimizer.learning_rate": 1e-3},
        {"seed": 1, "optimizer.learning_rate": 1e-4},
    ]
    assert points.zipped(SEEDS, RATES) == [
        {"seed": 0, "optimizer.learning_rate": 1e-3},
        {"seed": 1, "optimizer.learning_rate": 1e-4},
    ]
    assert [{"steps": 3}, *SEEDS] == [{"steps": 3}, {"seed": 0}, {"seed": 1}]


def test_parts_that_do_not_fit_together():
    with pytest.raises(ValueError, match=r"\[2, 1\] points"):
        points.zipped(SEEDS, RATES[:1])
    with pytest.raises(ValueError, match="set twice"):
        points.product(SEEDS, SEEDS)


def test_fields_change_and_only_those_that_exist():
    c = base.get_config()
    points.change(c, {"optimizer.learning_rate": 1, "model.size": "nano"})
    assert c.optimizer.learning_rate == 1.0 and c.model.size == "nano"
    with pytest.raises(ValueError, match=r"no field 'optimizer\.learning_rat'"):
        points.change(c, {"optimizer.learning_rat": 1.0})
    with pytest.raises(ValueError, match=r"no field 'seed\.x'"):
        points.change(c, {"seed.x": 1})
    with pytest.raises(ValueError, match=r"steps cannot be 1\.5"):
        points.change(c, {"steps": 1.5})


def test_every_point_is_checked_before_the_plan_stands():
    good = points.Stage("a", CONFIG, SEEDS)
    runs = points.plan([good, points.Stage("b", CONFIG, [{}])], "runs/x")
    assert [run.workdir for run in runs] == ["runs/x/a/0", "runs/x/a/1", "runs/x/b/0"]
    assert [run.title for run in runs] == ["seed=0", "seed=1", "as it is"]
    late = points.Stage("b", CONFIG, [{"seed": 1}, {"sede": 2}])
    with pytest.raises(ValueError, match=r"stage b, point 1: .*'sede'"):
        points.plan([good, late], "runs/x")
    with pytest.raises(ValueError, match=r"the point .* twice"):
        points.plan([points.Stage("a", CONFIG, [{"seed": 1}, {"seed": 1}])], "runs/x")
    with pytest.raises(ValueError, match="must differ"):
        points.plan([good, good], "runs/x")
    with pytest.raises(ValueError, match="no Python file"):
        points.plan([points.Stage("a", "configs/nothing.py", [{}])], "runs/x")


def test_the_commands_of_a_point():
    stage = points.Stage("a", CONFIG, [{"log_records": True, "init_from": "a b"}], ["--steps 1,4"])
    [run] = points.plan([stage], "runs/my sweep")
    assert points.commands(run) == [
        ["-m", "vision_banana.train", "--config", CONFIG, "--workdir", "runs/my sweep/a/0",
         "--config.log_records=true", "--config.init_from=a b"],
        ["-m", "vision_banana.evaluate", "--workdir", "runs/my sweep/a/0", "--steps", "1,4"],
    ]  # fmt: skip
