# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables for people, and a picture."""
import json
import pathlib
import subprocess

PROJECT = pathlib.Path(__file__).resolve().parents[2]

PLOT = """
set terminal svg size 900,460 font 'sans-serif,12' background 'white'
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.85 noborder
set title '{title}'
set ylabel 'ratio to the bare loop device with direct I/O'
# what is only cached can be many times as fast: cut off
set yrange [0:*<1.5]
set grid ytics linecolor '#dddddd'
set key outside bottom center horizontal
set xtics nomirror
set xlabel ' '
set datafile missing '-'
plot {plots}
"""


def number(value, unit):
    if unit == "IOPS":
        return f"{value / 1000:.1f} k"
    return f"{value / 1000:.2f} GB/s" if value >= 1000 else f"{value:.0f} MB/s"


def rows(table):
    yield ["", *(column["what"] for column in table["columns"]), "stable copy"]
    yield ["---"] * (len(table["columns"]) + 2)
    for name, system in table["systems"].items():
        cells = []
        for column in table["columns"]:
            median = table["median"][name].get(column["name"])
            cells.append(f"{number(median['value'], column['unit'])} "
                         f"({table['ratio'][name][column['name']]['value']:.2f})" if median else "-")
        yield [system["what"], *cells, system.get("stored", "-")]


def aligned(lines):
    lines = list(lines)
    widths = [max(map(len, cells)) for cells in zip(*(line for line in lines if line[1] != "---"))]
    for line in lines:
        yield "| " + " | ".join(("-" * width if cell == "---" else cell.ljust(width))
                                for cell, width in zip(line, widths)) + " |"


def text(result):
    machine = result["machine"]
    yield f"{machine['cpus']} CPUs ({machine['model']}), Linux {machine['kernel']}, {machine['date']}; " \
          f"load of the machine before: {machine['load']:.1f}"
    for table in result["tables"].values():
        yield ""
        yield f"{table['filesystem']} in memory, medians of {result['rounds']} interleaved rounds of " \
              f"{table['seconds']:g} s; in brackets the median ratio to the first row of the same round:"
        yield ""
        yield from aligned(rows(table))
        for name, why in table["missing"].items():
            yield f"not measured: {name}: {why}"
    yield ""
    for verdict in result["targets"]:
        value = "-" if verdict["value"] is None else f"{verdict['value']:.2f}"
        met = {None: "not measured", True: "met", False: "NOT MET"}[verdict["met"]]
        yield f"{verdict['name']:52} {value:>7} {verdict['target']:>8}  {met}"


def readme(result):
    """The tables, the picture and what they are made from, where people look first."""
    shown, path = PROJECT / "contrib/bench", PROJECT / "README.md"
    shown.mkdir(exist_ok=True)
    (shown / "bench.json").write_text(json.dumps(result) + "\n")
    plot(result, shown / "bench.svg")
    lines = list(text(result))
    end = next((number for number, line in enumerate(lines) if line.startswith("4k QD32")), len(lines))
    begin, old, rest = path.read_text().partition("<!-- bench: begin")
    head, _, tail = rest.partition("-->\n")
    _, marker, tail = tail.partition("<!-- bench: end -->")
    if not (old and marker):
        raise RuntimeError("README.md: no place for the table")
    body = ["![Ratios to the bare loop device with direct I/O](contrib/bench/bench.svg)", "", *lines[:end]]
    measured = [verdict["met"] for verdict in result["targets"] if verdict["met"] is not None]
    body += [f"{sum(measured)} of {len(measured)} targets met; `tests/bench/NOTES.md` says why the others are not."
             if not all(measured) else "All targets met."]
    path.write_text(begin + old + head + "-->\n" + "\n".join(body) + "\n" + marker + tail)


def plot(result, path):
    """The first table's ratios: a group of bars a column."""
    table = next(iter(result["tables"].values()))
    shown = {name: system for name, system in table["systems"].items() if table["median"][name]}
    data = "$data << END\n"
    for column in table["columns"]:
        ratios = (table["ratio"][name].get(column["name"], {}).get("value", "-") for name in shown)
        label = column["what"].replace(f" {column['block']}", f"\\n{column['block']}")
        data += " ".join([f'"{label}"', *map(str, ratios)]) + "\n"
    plots = ", ".join(f"$data using {index}:xtic(1) title '{system['what']}' noenhanced"
                      for index, system in enumerate(shown.values(), 2))
    machine = result["machine"]
    title = f"{table['filesystem']} in memory, Linux {machine['kernel']}, {machine['cpus']} CPUs, {machine['date']}"
    with open(path, "w", encoding="utf-8") as svg:
        subprocess.run(["gnuplot"], check=True, text=True, stdout=svg,
                       input=data + "END\n" + PLOT.format(title=title, plots=plots))
