#!/usr/bin/env python3
"""What a stack takes, costs, and where it breaks: the tables of docs/CAPACITY.md.

    python3 scripts/capacity.py [--write]

Paper first: rates from a model of people, loads from what one operation takes, quotas and prices of AWS. Then a simulation of
what paper does not tell: queues in front of the shards, environments that start all at once, a shard that fails over.
What an operation takes are the INPUTS: what MEASURED names is taken from the benchmark's report where that has it, the rest is
assumed.
Without --write the tables are printed; with it they replace what stands between the markers of the document.
"""

import heapq
import json
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "CAPACITY.md"
SEED = 7

# What one operation takes. Micros of the main thread of Redis per operation, bytes with all keys and the allocator.
INPUTS = {
    "bytes_per_session": 700.0,
    "redis_micros": {"read": 10.0, "refresh": 60.0, "create": 90.0, "end": 70.0},
    "redis_handshake_micros": 800.0,  # one TLS connection, at the server
    "round_trip_millis": 0.5,  # inside a zone
    "handler_millis": 1.0,  # what a handler takes beside Redis
    "cold_millis": 60.0,
    "drained_per_second": 13_700.0,  # one of four runs of write-audit on two cores
    "audit_bytes": 900.0,  # a row with its indexes
}

REPORT = ROOT / "docs" / "performance" / "report.json"
# Of the sizes that the benchmark tries the largest counts: there the expiry queues are as they are at 100 million.
SIZES = "By number of sessions, three per user"
# Where the benchmark's report says it: input, beginning of the figure's name, and what one of it is in units of the input.
# Four runs of write-audit share what the benchmark's one run drains.
MEASURED = (
    ("redis_micros.read", "warm read: processor time of Redis", 1.0),
    ("redis_micros.refresh", "processor time of Redis per refresh", 1.0),
    ("handler_millis", "warm read: processor time of the function", 0.001),
    ("cold_millis", "cold start of get-session: spawn to ready", 1.0),
    ("drained_per_second", "events drained per second", 0.25),
)

# The people: sessions, and what the live ones do at the busiest time of a day.
SESSIONS = 100_000_000
BUSY_SHARE = 0.02  # of all sessions are in somebody's hands
REFRESH_SECONDS = 300.0
READS_PER_REFRESH = 4.0  # introspections and reads by servers
LIFE_DAYS = 20.0  # from creation to end
PEAK_FACTOR = 3.0  # busiest hour against the mean of a day, for logins and ends

# AWS, eu-west-1, US dollars. Prices and quotas move: check before relying on them.
PRICE = {
    "gateway_per_million": 1.00,
    "lambda_per_million": 0.20,
    "lambda_gb_second": 0.0000133334,  # arm64
    "node_hour": 1.59,  # cache.r7g.2xlarge
    "database_month": 500.0,
    "storage_gb_month": 0.127,
    "log_gb": 0.57,
}
NODE_BYTES = 52.8e9
NODE_FILL = 0.70
SHARD_CPU = 0.60  # of one core that a shard is planned for
LAMBDA_MEMORY_GB = 0.5
LOG_BYTES = 700.0
CONNECTIONS_PER_NODE = 65_000
GATEWAY_QUOTA = 10_000.0  # requests a second of an account, raised on request
KMS_QUOTA = 20_000.0
LAMBDA_BURST = 1_000  # environments that a function gains in ten seconds
RINGS_OF_CREATE = 3


def rates():
    """Operations a second at the busiest time."""
    refresh = SESSIONS * BUSY_SHARE / REFRESH_SECONDS
    begins = SESSIONS / (LIFE_DAYS * 86_400) * PEAK_FACTOR
    return {"refresh": refresh, "read": refresh * READS_PER_REFRESH, "create": begins, "end": begins}


def table(head, rows):
    line = lambda cells: "| " + " | ".join(str(cell) for cell in cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])


def number(value):
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2f}"


def paper(values):
    load = rates()
    total = sum(load.values())
    memory = SESSIONS * values["bytes_per_session"]
    by_memory = -(-memory // (NODE_BYTES * NODE_FILL))
    core = sum(load[name] * values["redis_micros"][name] for name in load) / 1e6
    by_core = -(-core // SHARD_CPU)
    shards = int(max(by_memory, by_core))
    busy_millis = values["handler_millis"] + values["round_trip_millis"]
    environments = total * busy_millis / 1000
    events = load["refresh"] + load["create"] + load["end"]
    rows = [
        ("requests a second", number(total), ", ".join(f"{name} {number(rate)}" for name, rate in load.items())),
        ("Redis memory", f"{memory / 1e9:.0f} GB", f"{int(by_memory)} shards of {NODE_BYTES / 1e9:.1f} GB at {NODE_FILL:.0%}"),
        ("Redis cores", f"{core:.2f}", f"{int(by_core)} shards at {SHARD_CPU:.0%} of a core each"),
        ("shards", shards, f"each with a replica: {2 * shards} nodes"),
        ("environments busy at once", number(environments), f"{busy_millis:.1f} ms each (Little)"),
        ("connections per node at 1,000 environments", number(1000), f"{1000 / CONNECTIONS_PER_NODE:.1%} of what a node takes"),
        ("audit events a second", number(events), f"{events / values['drained_per_second']:.2f} runs of write-audit busy"),
        ("audit rows a month", f"{events / PEAK_FACTOR * 86_400 * 30 / 1e9:.1f} billion",
         f"{events / PEAK_FACTOR * 86_400 * 30 * values['audit_bytes'] / 1e12:.1f} TB with indexes"),
        ("API Gateway", f"{total / GATEWAY_QUOTA:.1f} ×", f"of the account's quota of {number(GATEWAY_QUOTA)} requests a second"),
    ]
    return table(("what", "at the busiest time", "how"), rows), shards, load, events


def cost(values, shards, load):
    per_million = {
        "API Gateway": PRICE["gateway_per_million"],
        "Lambda, requests": PRICE["lambda_per_million"],
        "Lambda, time": 1e6 * (values["handler_millis"] + values["round_trip_millis"]) / 1000
        * LAMBDA_MEMORY_GB * PRICE["lambda_gb_second"],
        "logs": 1e6 * LOG_BYTES / 1e9 * PRICE["log_gb"],
        "audit rows, one month": 1e6 * values["audit_bytes"] / 1e9 * PRICE["storage_gb_month"],
    }
    monthly_requests = sum(load.values()) / PEAK_FACTOR * 86_400 * 30 / 1e6
    fixed = {"Redis": 2 * shards * PRICE["node_hour"] * 730, "PostgreSQL": PRICE["database_month"]}
    per_million["Redis and PostgreSQL, shared by all requests"] = sum(fixed.values()) / monthly_requests
    rows = [(name, f"${value:.3f}") for name, value in per_million.items()]
    rows.append(("**a million refreshes**", f"**${sum(per_million.values()):.2f}**"))
    rows.append(("a month at this size", f"${sum(per_million.values()) * monthly_requests:,.0f}"))
    return table(("a million refreshes", "US dollars"), rows)


def limits(values, load, shards):
    """By which factor the load may grow before each thing is full: the smallest breaks first."""
    total = sum(load.values())
    core = sum(load[name] * values["redis_micros"][name] for name in load) / 1e6 / shards
    events = load["refresh"] + load["create"] + load["end"]
    room = {
        "API Gateway, quota of the account": GATEWAY_QUOTA / total,
        "a shard's core": 1.0 / core,
        "a shard's memory": NODE_BYTES * shards / (SESSIONS * values["bytes_per_session"]),
        "write-audit, four runs": 4 * values["drained_per_second"] / events,
        "connections of a node (environments)": CONNECTIONS_PER_NODE
        / (total * (values["handler_millis"] + values["round_trip_millis"]) / 1000),
        "KMS, 1,000 environments of create in a second": KMS_QUOTA / (1000 * RINGS_OF_CREATE),
    }
    rows = [(name, f"{factor:.1f} ×") for name, factor in sorted(room.items(), key=lambda item: item[1])]
    return table(("what is full", "at this many times the load"), rows)


class Shard:
    """One thread that serves in order."""

    def __init__(self):
        self.free_at = 0.0

    def serve(self, at, seconds):
        self.free_at = max(self.free_at, at) + seconds
        return self.free_at


def steady(values, load, shards, factor, requests=300_000):
    """Poisson arrivals over shards; environments are made when none is free. Returns millis and environments."""
    draw = random.Random(SEED)
    rate = sum(load.values()) * factor
    kinds, weights = zip(*load.items())
    nodes = [Shard() for _ in range(shards)]
    free, made, at = [], 0, 0.0
    taken = []
    rtt, handler = values["round_trip_millis"] / 1000, values["handler_millis"] / 1000
    for kind in draw.choices(kinds, weights, k=requests):
        at += draw.expovariate(rate)
        start = at
        if free and free[0] <= at:
            heapq.heappop(free)
        else:
            made += 1
        served = nodes[draw.randrange(shards)].serve(start + handler / 2 + rtt / 2, values["redis_micros"][kind] / 1e6)
        done = served + rtt / 2 + handler / 2
        heapq.heappush(free, done)
        taken.append((done - at) * 1000)
    taken.sort()
    return made, taken[len(taken) // 2], taken[int(len(taken) * 0.99)], taken[int(len(taken) * 0.999)]


def storm(values, load, shards, environments=1000):
    """All environments start at once: each opens a connection to every shard, then asks one. Returns the waits."""
    draw = random.Random(SEED)
    nodes = [Shard() for _ in range(shards)]
    ready = []
    for _ in range(environments):
        at = draw.random() * 0.02
        opened = max(node.serve(at, values["redis_handshake_micros"] / 1e6) for node in nodes)
        ready.append(opened + values["cold_millis"] / 1000)
    ready.sort()
    return ready[len(ready) // 2] * 1000, ready[-1] * 1000


def failover(values, load, shards, seconds_away, budget=1.0):
    """One shard is away for a while: its requests wait for a time-out and hold their environment. Returns the peak."""
    rate = sum(load.values())
    busy = (values["handler_millis"] + values["round_trip_millis"]) / 1000
    usual = rate * busy
    held = rate / shards * min(budget, seconds_away)
    return usual, usual * (1 - 1 / shards) + held


def simulation(values, load, shards):
    rows = []
    for factor in (0.5, 1.0, 2.0, 4.0, 8.0):
        made, middle, high, highest = steady(values, load, shards, factor)
        rows.append((f"{factor} ×", number(sum(load.values()) * factor), made,
                     f"{middle:.2f}", f"{high:.2f}", f"{highest:.2f}"))
    parts = [table(("load", "requests a second", "environments made", "p50 ms", "p99 ms", "p99.9 ms"), rows)]
    middle, last = storm(values, load, shards)
    usual, peak = failover(values, load, shards, 15)
    parts.append(table(("what", "result"), [
        ("1,000 environments start at once: half are ready after", f"{middle:.0f} ms"),
        ("and the last after", f"{last:.0f} ms"),
        ("a shard away for 15 s: environments busy, usually", number(usual)),
        ("and while its requests wait for their time-out", number(peak)),
        ("which a function gains in", f"{peak / LAMBDA_BURST * 10:.0f} s at most"),
    ]))
    return "\n\n".join(parts)


def inputs():
    """What an operation takes, and the table that says where each value is from."""
    values = {name: dict(value) if isinstance(value, dict) else value for name, value in INPUTS.items()}
    figures, tables = {}, {}
    if REPORT.exists():
        for section in json.loads(REPORT.read_text())["sections"]:
            figures |= {figure["name"]: figure["value"] for figure in section["findings"]["measurements"]}
            tables |= {found["title"]: found["rows"] for found in section["findings"]["tables"]}
    origin = {}
    for path, beginning, unit in MEASURED:
        for name, value in figures.items():
            if name.startswith(beginning):
                place, key = (values[path.split(".")[0]], path.split(".")[1]) if "." in path else (values, path)
                place[key], origin[path] = float(f"{value * unit:.4g}"), f"measured: {name}"
    for title, rows in tables.items():
        if title == SIZES and rows:
            values["bytes_per_session"] = float(rows[-1][1].replace(",", ""))
            origin["bytes_per_session"] = f"measured: bytes per session at {rows[-1][0]}, three per user"
    rows = []
    for name, value in values.items():
        for path, one in [(f"{name}.{key}", one) for key, one in value.items()] if isinstance(value, dict) else [(name, value)]:
            rows.append((path, f"{one:,}", origin.get(path, "assumed")))
    return values, table(("input", "value", "from"), rows)


def sections():
    values, taken = inputs()
    given, shards, load, _ = paper(values)
    return {
        "inputs": taken,
        "paper": given,
        "cost": cost(values, shards, load),
        "limits": limits(values, load, shards),
        "simulation": simulation(values, load, shards),
    }


def main():
    made = sections()
    if "--write" not in sys.argv:
        print("\n\n".join(f"## {name}\n\n{text}" for name, text in made.items()))
        return
    text = DOCUMENT.read_text()
    for name, part in made.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
