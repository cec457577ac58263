"""What the shop's own services write about requests: each service in the format its makers chose."""

from __future__ import annotations

import numpy as np
import polars as pl

from service.simulate.clock import Day, arrivals, every
from service.simulate.people import stranger_ip
from service.simulate.text import hexes, later, pick, rows, written

Frames = dict[str, list[pl.DataFrame]]

_LEVEL = pl.when(pl.col("status") >= 500).then(pl.lit("error")).when(pl.col("status") >= 400).then(pl.lit("warn"))
_CRAWLERS = ("Googlebot/2.1 (+http://www.google.com/bot.html)", "bingbot/2.0 (+http://www.bing.com/bingbot.htm)")


def web(requests: pl.DataFrame, day: Day) -> list[pl.DataFrame]:
    """The web server's access log: customers, crawlers, the load balancer's checks."""
    rng = day.rng("web")
    shape = '<ip> - - [<nginx>] "<method> <path> HTTP/1.1" <status> <bytes> "-" "<agent>" rt=<seconds>'
    times = arrivals(rng, day, 420 * day.rate, lambda _: np.ones(1440))
    crawled = rows(
        times,
        {
            "ip": [f"66.249.66.{number}" for number in rng.integers(1, 40, len(times))],
            "method": "GET",
            "path": [f"/product/SKU-{number}" for number in 1000 + rng.integers(0, 460, len(times))],
            "status": np.where(rng.random(len(times)) < 0.08, 404, 200),
            "bytes": rng.lognormal(8.5, 0.4, len(times)).astype(np.int64),
            "agent": np.array(_CRAWLERS)[rng.integers(0, 2, len(times))],
            "ms": rng.lognormal(3.1, 0.4, len(times)).astype(np.int64),
        },
    )
    checks = rows(
        every(day, 30.0, 4.0),
        {
            "ip": "10.20.0.2",
            "method": "GET",
            "path": "/healthz",
            "status": 200,
            "bytes": 2,
            "agent": "kube-probe/1.34",
            "ms": 1,
        },
    )
    columns = ["time", "planted", "ip", "method", "path", "status", "bytes", "agent", "ms"]
    probing = _probing(day)
    frames = [
        frame.select(columns).cast({"status": pl.Int64, "bytes": pl.Int64, "ms": pl.Int64})
        for frame in (requests, crawled, checks, probing)
    ]
    return [written(pl.concat(frames).with_columns((pl.col("ms") / 1000).round(3).alias("seconds")), shape)]


def _probing(day: Day) -> pl.DataFrame:
    """Strangers who look for holes, as they do everywhere every day."""
    rng = day.rng("probing")
    begins = arrivals(rng, day, 9, lambda _: np.ones(1440))
    many = rng.integers(3, 14, len(begins))
    times = (
        np.repeat(begins, many)
        + np.concatenate([np.arange(count) for count in many] or [np.zeros(0)]).astype(np.int64) * 700_000_000
    )
    paths = (
        "/.env",
        "/wp-login.php",
        "/admin/",
        "/.git/config",
        "/phpmyadmin/",
        "/vendor/phpunit/",
        "/xmlrpc.php",
        "/backup.zip",
        "/server-status",
        "/actuator/env",
    )
    return rows(
        times,
        {
            "ip": stranger_ip(rng, len(begins)).to_numpy().repeat(many),
            "method": "GET",
            "path": np.array(paths)[rng.integers(0, len(paths), len(times))],
            "status": 404,
            "bytes": 153,
            "agent": "Mozilla/5.0 zgrab/0.x",
            "ms": 1,
        },
    )


def gateway(requests: pl.DataFrame, day: Day) -> list[pl.DataFrame]:
    """The API gateway: JSON, one line a request, with the trace everything else can be found by."""
    api = requests.filter(pl.col("step") != "home").with_columns(
        _LEVEL.otherwise(pl.lit("info")).alias("level"),
        pl.when(pl.col("status") == 502)
        .then(pl.lit("upstream closed the connection"))
        .when(pl.col("status") == 499)
        .then(pl.lit("client went away"))
        .otherwise(pl.lit("request completed"))
        .alias("said"),
        pl.format("gw-{}", pl.col("number") % 2 + 1).alias("host"),
    )
    shape = (
        '{"time":"<iso>","level":"<level>","service":"gateway","host":"<host>","msg":"<said>","method":"<method>",'
        '"path":"<path>","status":<status>,"duration_ms":<ms>,"trace_id":"<trace>","client_ip":"<ip>","user":"<customer>"}'
    )
    checks = rows(every(day, 15.0, 2.0)).with_columns(
        pl.format("gw-{}", pl.int_range(pl.len()) % 2 + 1).alias("host"),
    )
    healthy = (
        '{"time":"<iso>","level":"debug","service":"gateway","host":"<host>","msg":"health check passed",'
        '"upstreams":11}'
    )
    return [written(later(api, pl.col("ms") / 1000), shape), written(checks, healthy)]


def cart(requests: pl.DataFrame) -> list[pl.DataFrame]:
    """The cart: logfmt."""
    own = later(requests.filter(pl.col("step").is_in(["add", "cart", "checkout"])), 0.006)
    own = own.with_columns(
        pl.format("cart-{}", pl.col("number") % 2 + 1).alias("host"), (pl.col("ms") // 3 + 1).alias("took")
    )
    ok = own.filter(pl.col("status") < 400)
    head = "time=<iso> level=info svc=cart host=<host> "
    tail = " trace_id=<trace> customer=<customer> ms=<took>"
    sold_out = own.filter(pl.col("status") == 409)
    return [
        written(ok.filter(pl.col("step") == "add"), head + 'msg="item added" sku=<sku> qty=1' + tail),
        written(ok.filter(pl.col("step") == "cart"), head + 'msg="cart loaded"' + tail),
        written(ok.filter(pl.col("step") == "checkout"), head + 'msg="checkout started" total=<amount>' + tail),
        written(sold_out, head.replace("info", "warn") + 'msg="stock changed, item not added" sku=<sku>' + tail),
    ]


def payment(requests: pl.DataFrame, day: Day) -> list[pl.DataFrame]:
    """Card payments: a Java service. Calls over two seconds are noted; now and then one is tried again."""
    rng = day.rng("payment")
    own = requests.filter(pl.col("step") == "pay")
    own = own.with_columns(
        hexes(rng, len(own), 12).alias("payment"),
        pl.Series("thread", rng.integers(1, 13, len(own))),
        pl.Series("acquirer", pick(rng, {"acq-north": 3.0, "acq-south": 1.0}, len(own)), dtype=pl.String),
        (pl.col("ms") * 0.8).round(0).cast(pl.Int64).alias("call_ms"),
    )
    head = "<java> INFO  [http-exec-<thread>] c.s.payment.PaymentService - [<trace>] "
    tried = own.filter((pl.col("luck") * 1000 % 1) < 0.012).with_columns(pl.lit(2).alias("attempt"))
    done = later(own, pl.col("call_ms") / 1000)
    warn = head.replace("INFO ", "WARN ").replace("PaymentService", "AcquirerClient")
    return [
        written(own, head + "Authorising pay_<payment> of <amount> EUR at <acquirer>"),
        written(later(tried, 0.3), warn + "Connection to <acquirer> was reset, attempt <attempt> follows"),
        written(done.filter(pl.col("call_ms") > 600), warn + "Slow call to <acquirer>: <call_ms> ms"),
        written(done.filter(pl.col("status") == 200), head + "Authorised pay_<payment> in <call_ms> ms"),
        written(
            done.filter(pl.col("status") == 402), head + "Declined pay_<payment> by issuer, code 51, in <call_ms> ms"
        ),
    ]


def catalogue(requests: pl.DataFrame) -> list[pl.DataFrame]:
    """Product pages: Python's usual log format."""
    own = later(requests.filter(pl.col("step") == "view"), 0.004)
    found = own.filter(pl.col("status") == 200)
    cached = pl.when(pl.col("luck") < 0.8).then(pl.lit("cache")).otherwise(pl.lit("database"))
    shape = "<java> - catalogue.pages - INFO - Rendered product <sku> from <source> in <ms> ms trace=<trace>"
    missing = "<java> - catalogue.pages - WARNING - No product <sku>, answered 404 trace=<trace>"
    return [
        written(found.with_columns(cached.alias("source")), shape),
        written(own.filter(pl.col("status") == 404), missing),
    ]


def search(requests: pl.DataFrame, day: Day) -> list[pl.DataFrame]:
    """Product search: JSON with the fields of its own, and the garbage collector of its virtual machine."""
    rng = day.rng("search")
    own = later(requests.filter((pl.col("step") == "search") & (pl.col("status") == 200)), 0.01)
    own = own.with_columns(pl.Series("hits", rng.poisson(14, len(own))))
    shape = (
        '{"@timestamp":"<iso>","log.level":"INFO","service.name":"search","message":"Query answered","query":"<word>",'
        '"hits":<hits>,"took":<ms>,"trace.id":"<trace>"}'
    )
    times = every(day, 97.0, 11.0)
    pauses = rows(
        times, {"gc": np.arange(len(times)) + day.number * len(times), "before": rng.integers(420, 700, len(times))}
    )
    pauses = pauses.with_columns(
        (pl.col("before") // 4).alias("after"), pl.Series("pause", np.round(rng.gamma(8, 1.1, len(times)), 3))
    )
    return [
        written(own, shape),
        written(
            pauses,
            '{"@timestamp":"<iso>","log.level":"DEBUG","service.name":"search","message":"GC(<gc>) Pause Young '
            '(Normal) (G1 Evacuation Pause) <before>M-><after>M(1024M) <pause>ms"}',
        ),
    ]


def identity(requests: pl.DataFrame) -> list[pl.DataFrame]:
    """Customers' logins: plain key=value lines."""
    own = later(requests.filter(pl.col("step") == "login"), 0.03)
    shape = "<iso> INFO identity login succeeded user=<customer> ip=<ip> method=password trace=<trace>"
    wrong = "<iso> WARN identity login failed user=<customer> ip=<ip> reason=bad_password trace=<trace>"
    return [written(own.filter(pl.col("status") == 200), shape), written(own.filter(pl.col("status") == 401), wrong)]


def inventory(requests: pl.DataFrame, day: Day) -> list[pl.DataFrame]:
    """Stock: a Go service that writes logfmt without a time zone's name; it checks the shelves every minute."""
    rng = day.rng("inventory")
    own = later(requests.filter(pl.col("step").is_in(["add", "checkout"])), 0.012)
    head = "ts=<iso> level=info caller=stock.go:<row> "
    asked, reserved = own.filter(pl.col("step") == "add"), own.filter(pl.col("step") == "checkout")
    times = every(day, 60.0, 7.0)
    shelves = rows(
        times, {"row": 88, "took": rng.gamma(6, 30, len(times)).astype(np.int64), "off": rng.poisson(1.2, len(times))}
    )
    return [
        written(asked.with_columns(pl.lit(141).alias("row")), head + 'msg="stock checked" sku=<sku> trace_id=<trace>'),
        written(
            reserved.with_columns(pl.lit(203).alias("row")),
            head + 'msg="items reserved" order_total=<amount> trace_id=<trace>',
        ),
        written(shelves, head + 'msg="shelves counted" products=400 corrected=<off> took=<took>ms'),
    ]


def mailer(requests: pl.DataFrame, day: Day) -> list[pl.DataFrame]:
    """Order confirmations through Postfix."""
    rng = day.rng("mailer")
    paid = later(requests.filter((pl.col("step") == "pay") & (pl.col("status") == 200)), 1.4)
    paid = paid.with_columns(
        hexes(rng, len(paid), 10).str.to_uppercase().alias("queue"),
        pl.Series("pid", 2100 + rng.integers(0, 4, len(paid))),
        pl.Series("delay", np.round(rng.gamma(3, 0.3, len(paid)), 2)),
        pl.format("{}@mail{}.example", "customer", pl.col("number") % 5).alias("address"),
        pl.format("mx{}.mail{}.example", pl.col("number") % 3, pl.col("number") % 5).alias("relay"),
        pl.Series("late", rng.random(len(paid)) < 0.02),
    )
    head = "<syslog> mail-1 postfix/"
    smtp = head + "smtp[<pid>]: <queue>: to=<<address>>, relay=<relay>[198.51.100.7]:25, delay=<delay>, "
    return [
        written(paid, head + "qmgr[1204]: <queue>: from=<shop@shop.example>, size=<bytes>, nrcpt=1 (queue active)"),
        written(
            later(paid.filter(~pl.col("late")), pl.col("delay")),
            smtp + "dsn=2.0.0, status=sent (250 2.0.0 Ok)",
        ),
        written(
            later(paid.filter("late"), pl.col("delay")),
            smtp + "dsn=4.7.1, status=deferred (450 4.7.1 greylisted)",
        ),
    ]


def clicks(requests: pl.DataFrame) -> list[pl.DataFrame]:
    """The web shop's own events: session, customer, what was done."""
    shape = (
        '{"time":"<iso>","session_id":"<session>","customer":"<customer>","event":"<step>","item":"<sku>",'
        '"device_id":"<device>","ip":"<ip>"}'
    )
    return [written(requests.filter(pl.col("status") < 500), shape)]


def transactions(requests: pl.DataFrame) -> list[pl.DataFrame]:
    """Card payments as events, with what tells a customer's habits."""
    own = later(requests.filter(pl.col("step") == "pay"), pl.col("ms") / 1000)
    outcome = pl.when(pl.col("status") == 200).then(pl.lit("approved")).otherwise(pl.lit("declined"))
    shape = (
        '{"time":"<iso>","type":"card_payment","customer":"<customer>","card":"<card>","amount":<amount>,"currency":"EUR",'
        '"category":"<category>","country":"<country>","device_id":"<device>","ip":"<ip>",'
        '"outcome":"<outcome>"}'
    )
    return [written(own.with_columns(outcome.alias("outcome")), shape)]
