"""A compile report as text."""

from typing import Any


def describe(report: dict[str, Any]) -> str:
    """A report in words and numbers, some lines of text."""
    lines = [
        f"{report['model']['size']} ({report['parameters'] / 1e9:.2f} B parameters) on "
        f"{report['topology']}, mesh {_mesh(report['mesh'])}, "
        f"{report['batch']} queries of {report['size']} px a step, remat {report['model']['remat']}"
    ]
    programs = [
        (f"train step, {p['references']} references, {p['share']:.0%} of steps", p)
        for p in report["train"]
    ]
    if "sample" in report:
        s = report["sample"]
        programs.append((f"sampler, {s['steps']} steps, {s['references']} references", s))
    for title, program in programs:
        lines += ["", f"{title}: compiled in {program['compile_seconds']:.0f} s"]
        lines += [
            f"  {name.replace('_', ' '):<28}{size / 2**30:8.2f} GiB"
            for name, size in program["memory_bytes"].items()
        ]
        lines += [
            f"  {kind:<28}{size / 1e9:8.2f} GB"
            for kind, size in program["collective_bytes"].items()
            if size > 1e6
        ]
        flops = {k: v for k, v in program["flops"].items() if isinstance(v, float)}
        lines += [f"  {name + ' FLOPs':<28}{n / 1e12:8.2f} T" for name, n in flops.items()]
        lines += [
            f"  {name + ' time':<28}{s * 1e3:8.1f} ms"
            for name, s in program["roofline_seconds"].items()
        ]
        lines.append(f"  {program['binds']} binds")
        if "mfu_bound" in program:
            lines.append(f"  MFU is at most {program['mfu_bound']:.1%}")
    s = report["schedule"]
    lines += [
        "",
        report["train"][0]["flops"]["why"],
        f"{s['steps']} steps: {s['chip_hours']:,.0f} chip-hours ({s['hours']:,.1f} hours) at "
        f"{s['assumed_efficiency']:.0%} of the roofline's speed, ${s['dollars']:,.0f} at "
        f"${s['dollars_per_chip_hour']} a chip-hour",
    ]
    return "\n".join(lines)


def _mesh(shape: dict[str, int]) -> str:
    return " x ".join(f"{name} {size}" for name, size in shape.items())
