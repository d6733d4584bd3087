#!/usr/bin/env python3
"""Runs commands and draws the memory that each of them takes.

    scripts/memory_figure.py FIGURE.svg LABEL COMMAND... [-- LABEL COMMAND...]

A command is run to its end, one after the other, and once a second the resident set of its process is read, with the part
of it that is no file (/proc/PID/status: VmRSS and RssAnon; pages of a mapped or read file are the kernel's to take back).
What was read stands in FIGURE.csv beside the figure. Linux only.
"""
import subprocess
import sys
import time

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 380, 70, 50, 40


def memory(pid):
    """VmRSS and RssAnon in MB; None of a process that has ended."""
    try:
        with open(f"/proc/{pid}/status") as f:
            lines = dict(line.split(":", 1) for line in f if ":" in line)
        return tuple(int(lines[name].split()[0]) / 1000 for name in ("VmRSS", "RssAnon"))
    except (OSError, KeyError):
        return None


def measure(command):
    """(second, VmRSS, RssAnon) of a command, until it ends."""
    began, rows = time.time(), []
    process = subprocess.Popen(command)
    while process.poll() is None:
        if now := memory(process.pid):
            rows.append((time.time() - began, *now))
        time.sleep(1)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return rows


def figure(series):
    seconds = max(row[0] for _, rows in series for row in rows)
    most = max(row[1] for _, rows in series for row in rows) * 1.15
    x = lambda t: LEFT + t / seconds * (WIDTH - LEFT - 20)
    y = lambda m: HEIGHT - BOTTOM - m / most * (HEIGHT - BOTTOM - TOP)
    text = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for i in range(6):
        m, t = most * i / 5, seconds * i / 5
        text.append(f'<path d="M{LEFT} {y(m):.1f}H{WIDTH - 20}" stroke="#ddd"/>'
                    f'<text x="{LEFT - 8}" y="{y(m) + 4:.1f}" text-anchor="end">{m:.0f}</text>'
                    f'<text x="{x(t):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{t / 60:.1f}</text>')
    text.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">minutes</text>'
                f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">'
                'resident set, MB (thin: what is no file)</text>')
    for i, (label, rows) in enumerate(series):
        for column, width in ((1, 2), (2, 1)):
            line = " ".join(f"{x(r[0]):.1f},{y(r[column]):.1f}" for r in rows)
            text.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[i % 4]}" stroke-width="{width}"/>')
        text.append(f'<text x="{LEFT + 10}" y="{TOP - 22 + 17 * i}" fill="{COLOURS[i % 4]}">{label}: at most '
                    f'{max(r[1] for r in rows):.0f} MB</text>')
    return "\n".join(text + ["</svg>", ""])


def main():
    if len(sys.argv) < 4 or not sys.argv[1].endswith(".svg"):
        sys.exit(__doc__)
    runs = [[]]
    for word in sys.argv[2:]:
        if word == "--":
            runs.append([])
        else:
            runs[-1].append(word)
    if any(len(run) < 2 for run in runs):
        sys.exit(__doc__)
    series = [(label, measure(command)) for label, *command in runs]
    with open(sys.argv[1], "w") as f:
        f.write(figure(series))
    with open(sys.argv[1][:-4] + ".csv", "w") as f:
        f.write("run,second,vmrss_mb,rssanon_mb\n")
        f.writelines(f"{label},{t:.1f},{a:.1f},{b:.1f}\n" for label, rows in series for t, a, b in rows)


if __name__ == "__main__":
    main()
