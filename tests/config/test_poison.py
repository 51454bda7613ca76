"""Files that must be refused, each with its line and its reason. Read next: test_checks.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.load import check, load
from gateway.errors import ConfigError

HASH = "ab" * 32
GOOD = f"""providers:
  openai: {{api_key: ${{OPENAI_API_KEY}}}}
  gpu: {{kind: openai_compatible, base_url: https://gpu.example.com/v1}}
deployments:
  a: {{provider: openai, model: gpt-4o-mini, quality: 0.7}}
  b: {{provider: gpu, model: llama, weight: 0}}
keys:
  - {{id: team, secret_hash: {HASH}}}
"""
ENVIRON = {"OPENAI_API_KEY": "sk-of-the-test", "EMPTY": ""}

#: What is in the file, then the problem as it is told, without the file's name.
POISON = {
    "empty file": (b"", "error: the file is empty (start from `discover: true`)"),
    "nothing but comments": (b"# todo\n", "error: the file holds nothing (start from `discover: true`)"),
    "a list": (b"- a\n", "1:1: error: the file must hold a mapping of keys to values"),
    "tabs": (b"providers:\n\topenai: {}\n", "2:1: error: this character cannot stand here (indent with spaces"),
    "bad indent": (b"providers:\n  a: {}\n c: {}\n", "3:2: error: this is not YAML: while parsing a block mapping"),
    "unclosed bracket": (b"aliases: {a: b\n", "2:1: error: this is not YAML: while parsing a flow mapping"),
    "half written": (b"providers:\n  openai: {api_key: 'sk", "2:24: error: this is not YAML: while scanning a quoted"),
    "binary": (b"\x7fELF\0\0", "1:5: error: the file is binary: it holds a NUL byte"),
    "a control character": (b"auth: \x07\n", "1:1: error: character U+0007 may not stand in YAML"),
    "a private character": ("auth: off\n# \ue041".encode(), "2:3: error: character U+E041 is for private use"),
    "an expression in an expression": (b"state: ${A:-${B}}\n", "1:8: error: ${A:-${B} is not an expression"),
    "UTF-16": ("auth: off".encode("utf-16"), "1:1: error: the file is UTF-16 (save it as UTF-8)"),
    "not UTF-8": (b"auth: off\naliases: {\xe9t\xe9: auto}\n", "2:11: error: byte 0xe9 is not UTF-8"),
    "over 1 MiB": (b"#" * 1024 * 1024 + b"#", "error: the file has more than 1048576 bytes"),
    "5,000 deep": (b"aliases: " + b"[" * 5000 + b"]" * 5000, "1:59: error: this is nested deeper than 50 levels"),
    "90,000 deep": (b"[" * 90_000, "1:51: error: this is nested deeper than 50 levels"),
    "alias bomb": (b"a: &a [x, x]\nb: &b [*a, *a]\n", "1:4: error: anchor 'a' is not allowed"),
    "alias": (b"auth: *gone\n", "1:7: error: alias 'gone' is not allowed"),
    "python object": (
        b"state: !!python/object/apply:os.system [id]\n",
        "1:8: error: tag 'tag:yaml.org,2002:python/object",
    ),
    "merge key": (b"<<: {auth: off}\n", "1:1: error: unknown key '<<' at the top of the file"),
    "two documents": (b"auth: off\n---\nauth: on\n", "2:1: error: a second document begins here"),
    "duplicate key": (b"auth: off\nstate: x\nauth: on\n", "3:1: error: key 'auth' is here twice (first on line 1)"),
    "a key that is no word": (b"? [a]\n: b\n", "1:3: error: a key must be a word"),
    "expression not an expression": (b"state: ${REDIS URL}\n", "1:8: error: ${REDIS URL} is not an expression"),
    "missing file": (b"state: ${file:/no/such}\n", "1:8: error: file '/no/such' cannot be read: No such file"),
}

#: A line added to a good file (line 9), or (what, by what) replaced in it, and the problem as it is told.
WRONG: dict[str, tuple[str | tuple[str, str], str]] = {
    "unknown key": ("rotes: []", "9:1: error: unknown key 'rotes' at the top of the file (did you mean 'routes'?)"),
    "unknown key inside": (
        ("weight: 0", "wieght: 0"),
        "6:36: error: unknown key 'wieght' in deployments.b (did you",
    ),
    "missing key": (("model: llama, ", ""), "6:3: error: deployments.b.model is missing (add `model:` here)"),
    "wrong type": ("routes: yes", "9:1: error: routes must be a list, not 'yes' (write [yes])"),
    "a list for a word": (
        ("provider: gpu", "provider: [gpu]"),
        "6:7: error: deployments.b.provider must be text, not a",
    ),
    "number for a word": (
        ("model: llama", "model: 7"),
        "6:22: error: deployments.b.model must be text, not 7 (put it in q",
    ),
    "switch": ("auth: of", "9:1: error: auth must be on or off, not 'of'"),
    "NaN price": (("weight: 0", "price: {input: .nan, output: 1}"), "6:51: error: .nan is not a finite number"),
    "infinite weight": (("weight: 0", "weight: 1e999"), "6:44: error: 1e999 is not a finite number"),
    "negative price": (
        ("weight: 0", "price: {input: -1, output: 1}"),
        "6:44: error: deployments.b.price.input must be at least 0, not -1",
    ),
    "negative weight": (("weight: 0", "weight: -1"), "6:36: error: deployments.b.weight must be at least 0.0, not -1"),
    "quality in percent": (
        ("quality: 0.7", "quality: 70"),
        "5:45: error: deployments.a.quality.default must be at most",
    ),
    "duration without unit": (
        'routes: [{name: r, policy: {timeout: "30"}}]',
        "9:29: error: routes[0].policy.timeout is not usable: expected a duration with its unit",
    ),
    "number for a duration": (
        "routes: [{name: r, policy: {timeout: 30}}]",
        "as 500ms, 30s, 10m or 1h, not 30 (write 30s or 30m)",
    ),
    "base 60": (
        "routes: [{name: r, policy: {timeout: 1:30}}]",
        "10m or 1h, not '1:30' (a number with colons is text here; write a duration as 90s or 2m)",
    ),
    "port": ("server: {port: 99999}", "9:10: error: server.port must be at most 65535, not 99999"),
    "unset variable": (
        "state: ${REDIS}",
        "9:8: error: environment variable REDIS is not set (export REDIS=… or write $",
    ),
    "unset variable among others": ("state: redis://:${PW}@h", "9:8: error: environment variable PW is not set"),
    "empty api_key": (
        ("${OPENAI_API_KEY}", "${EMPTY}"),
        "2:12: error: providers.openai.api_key[0] is not usable: it is",
    ),
    "unknown provider": (
        ("provider: gpu", "provider: gpuu"),
        "6:7: error: there is no provider 'gpuu' (did you mean 'gpu'",
    ),
    "unknown kind": (
        ("openai_compatible", "openai_compatibel"),
        "3:9: error: there is no kind of provider 'openai_compatibel' (did you mean 'openai_compatible'?)",
    ),
    "a name that is no kind": (
        ("gpu: {kind: openai_compatible, ", "gpu: {"),
        "3:3: error: provider 'gpu' needs a kind, for its name is not one (add `kind:`",
    ),
    "no base_url": ((", base_url: https://gpu.example.com/v1", ""), "3:3: error: provider 'gpu' needs a base_url"),
    "unknown in a pool": (
        "routes: [{name: r, policy: {pool: [a, bb]}}]",
        "9:39: error: there is no deployment 'bb' (did you mean 'b'?)",
    ),
    "unknown in a fallback": (
        "routes: [{name: r, policy: {fallback: [c]}}]",
        "9:40: error: there is no deployment 'c'",
    ),
    "unknown in weights": (
        "routes: [{name: r, policy: {strategy: {weighted: {weights: {a: 1, c: 1}}}}}]",
        "9:67: error: there is no deployment 'c'",
    ),
    "twice in a pool": (
        "routes: [{name: r, policy: {pool: [a, a]}}]",
        "9:39: error: deployment 'a' is in this list twice",
    ),
    "empty pool": ("routes: [{name: r, policy: {pool: []}}]", "9:29: error: the pool of route 'r' is empty"),
    "unknown strategy": (
        "routes: [{name: r, policy: {strategy: costs}}]",
        "9:29: error: there is no strategy 'costs' (did you mean 'cost'?)",
    ),
    "two strategies": (
        "routes: [{name: r, policy: {strategy: {cost: {}, ordered: {}}}}]",
        "9:29: error: routes[0].policy.strategy is not usable: name exactly one strategy, not a mapping",
    ),
    "unknown parameter": (
        "routes: [{name: r, policy: {strategy: {cost: {flor: 0.5}}}}]",
        "9:47: error: unknown key 'flor' in routes[0].policy.strategy.cost (did you mean 'floor'?)",
    ),
    "floor over 1": (
        "routes: [{name: r, policy: {strategy: {cost: {floor: 85}}}}]",
        "9:47: error: routes[0].policy.strategy.cost.floor must be at most 1.0, not 85",
    ),
    "floor nobody clears": (
        "routes: [{name: r, policy: {strategy: {cost: {floor: 0.8}}}}]",
        "9:47: error: no deployment of route 'r' clears the quality floor 0.8: the best known is 0.7",
    ),
    "half a price": (
        ("weight: 0", "price: {input: 1}"),
        "6:36: error: the price of 'b' lacks input or output, and the catalogue does not know 'llama' (give both)",
    ),
    "a tier twice": (
        ("weight: 0", "price: {input: 1, output: 2, tiers: [{above: 1k}, {above: 1000}]}"),
        "6:87: error: another tier begins above 1000 tokens, too",
    ),
    "weights all 0": (
        "routes: [{name: r, policy: {pool: [b], strategy: weighted}}]",
        "9:40: error: all weights of route 'r' are 0",
    ),
    "unknown intent": (
        "routes: [{name: r, when: {intent: tool_uze}}]",
        "9:27: error: nothing signals the intent 'tool_uze' (did you mean 'tool_use'?)",
    ),
    "unknown need": (
        "routes: [{name: r, when: {needs: [visoin]}}]",
        "9:35: error: routes[0].when.needs[0] must be one of 'tools',",
    ),
    "region nobody has": (
        "routes: [{name: r, policy: {require: {region: eu}}}]",
        "9:39: error: no deployment of route 'r' has the region eu (theirs: unknown)",
    ),
    "company nobody is": (
        "routes: [{name: r, policy: {require: {company: [acme, x]}}}]",
        "9:39: error: no deployment of route 'r' has the company acme or x (theirs: openai, unknown)",
    ),
    "no token count is that": (
        "routes: [{name: r, when: {input_tokens: {min: 2k, max: 1k}}}]",
        "9:27: error: no request has 2000 or more and 1000 or fewer tokens",
    ),
    "route without a name": ("routes: [{when: {}}]", "9:10: error: routes[0].name is missing"),
    "route and deployment": ("routes: [{name: a}]", "9:11: error: route 'a' has the name of a deployment"),
    "two routes": ("routes: [{name: r}, {name: r}]", "9:22: error: route 'r' has the name of a route"),
    "auto": ("aliases: {auto: a}", "9:11: error: alias may not be called 'auto'"),
    "alias to nothing": ("aliases: {x: aa}", "9:11: error: alias 'x' leads to 'aa', which is no deployment"),
    "alias to itself": ("aliases: {x: x}", "9:11: error: alias 'x' leads round in a circle"),
    "key twice": (
        (f"{HASH}}}", f"{HASH}}}\n  - {{id: team, secret_hash: {'c' * 64}}}"),
        "9:6: error: key 'team' has the id",
    ),
    "hash twice": (
        (f"{HASH}}}", f"{HASH}}}\n  - {{id: two, secret_hash: {HASH}}}"),
        "9:15: error: key 'two' has the secr",
    ),
    "no hash": (
        (HASH, "sk-plain-secret"),
        "8:16: error: keys[0].secret_hash[0] must be a hash of the key, as `signalbox",
    ),
    "key id": (("id: team", "id: -"), "8:6: error: keys[0].id must begin with a letter or digit"),
    "key for an unknown route": (
        (f"{HASH}}}", f"{HASH}, routes: [premium]}}"),
        "error: there is no route 'premium' (known: default)",
    ),
    "stall over total": (
        ("gpu: {", "gpu: {timeouts: {stall: 20m}, "),
        "3:20: error: stall (1200s) is longer than total (600s)",
    ),
    "first byte over total": (
        ("gpu: {", "gpu: {timeouts: {first_byte: 20s, stall: 1s, total: 10s}, "),
        "3:20: error: first_byte (20s) is longer than total (10s)",
    ),
    "no time at all": (
        ("gpu: {", "gpu: {timeouts: {total: 0s}, "),
        "3:20: error: providers.gpu.timeouts.total must be more",
    ),
    "backoff": (
        "routes: [{name: r, policy: {retry: {base: 5s}}}]",
        "9:37: error: base (5s) is longer than cap (4s)",
    ),
    "regex": ("intents: {x: {patterns: ['(a']}}", "9:26: error: this is not an RE2 pattern: missing ): (a"),
    "regex bomb": (
        "intents: {x: {patterns: ['((a{100}){100}){100}']}}",
        "9:26: error: this is not an RE2 pattern: invali",
    ),
    "an intent of nothing": ("intents: {x: {}}", "9:11: error: intent 'x' has no keywords or patterns"),
    "loopback": (
        ("https://gpu.example.com", "http://127.0.0.1:1"),
        "3:34: error: 127.0.0.1 is a loopback address (write `a",
    ),
    "private": (
        ("https://gpu.example.com", "https://10.1.2.3"),
        "3:34: error: 10.1.2.3 is a private address (write `allow",
    ),
    "private name": (("https://gpu.example.com", "https://gpu"), "3:34: error: gpu is a private address (write `allow"),
    "address as a number": (
        ("https://gpu.example.com", "https://2130706433"),
        "3:34: error: 2130706433 is a loopback addr",
    ),
    "metadata": (
        ("https://gpu.example.com/v1", "http://169.254.169.254/, allow_private: true"),
        "3:34: error: 169.254.169.254 hands out a cloud's credentials: it is no provider",
    ),
    "password in an address": (
        ("https://gpu", "https://me:secret@gpu"),
        "3:34: error: the address of provider 'gpu' holds a user name or password, which belong into api_key",
    ),
    "no scheme": (
        ("https://gpu", "gpu"),
        "3:34: error: the address of provider 'gpu' must begin with https:// or http://",
    ),
    "two addresses": (
        ("base_url", "endpoint: https://x.example.com, base_url"),
        "3:34: error: provider 'gpu' has both",
    ),
    "our header": (("gpu: {", "gpu: {headers: {Host: x}, "), "3:19: error: header 'Host' is set by the gateway"),
    "header in two lines": (
        ("gpu: {", 'gpu: {headers: {X-A: "a\\r\\nb"}, '),
        "3:19: error: the value of header 'X-A' cannot",
    ),
    "network": (
        (f"{HASH}}}", f"{HASH}, networks: [10.0.0.1/8]}}"),
        "8:106: error: keys[0].networks[0] is not usable: that network is 10.0.0.0/8, not '10.0.0.1/8'",
    ),
    "proxies": ("server: {trusted_proxies: [lb]}", "9:28: error: server.trusted_proxies[0] is not usable: expected a"),
    "open to the world": (
        (f"keys:\n  - {{id: team, secret_hash: {HASH}}}", "server: {host: 0.0.0.0}"),
        "7:10: error: the gateway listens on 0.0.0.0 and asks nobody for a key (add `keys:`, or write `auth: off`",
    ),
    "no address of a Redis": (
        "state: http://redis:6379",
        "9:1: error: state is not the address of a Redis: it must begin with redis://, rediss://, unix:// or redis+s",
    ),
    "Sentinels without a name": (
        "state: redis+sentinel://a,b",
        "9:1: error: state is not the address of a Redis: it has no name behind the hosts, as mymaster",
    ),
    "limits beyond counting": (
        "teams: {t: {limits: {rpm: 99999999999999999999M}}}",
        "9:22: error: teams.t.limits.rpm must be at most 1000000000000, not '99999999999999999999M'",
    ),
    "a limit of none": (
        "teams: {t: {limits: {tpm: 0}}}",
        "9:22: error: teams.t.limits.tpm must be at least 1, not 0",
    ),
    "a budget of nothing known": (
        "organisations: {o: {budget: {usd: .nan}}}",
        "9:35: error: .nan is not a finite number",
    ),
    "a budget below nothing": (
        "teams: {t: {each_user: {budget: {usd: -1}}}}",
        "9:34: error: teams.t.each_user.budget.usd must be at least 0, not -1",
    ),
    "a budget of all the money there is": (
        "teams: {t: {budget: {usd: 1e300}}}",
        "9:22: error: teams.t.budget.usd must be at most 1000000000, not 1e+300",
    ),
    "a period of no calendar": (
        "teams: {t: {budget: {usd: 5, per: fortnight}}}",
        "9:30: error: teams.t.budget.per must be one of 'hour', 'day', 'week', 'month', 'year' or 'total'",
    ),
    "an alert in percent": (
        "teams: {t: {budget: {usd: 5, alert_at: [80]}}}",
        "9:41: error: teams.t.budget.alert_at[0] must be at most 1, not 80",
    ),
    "a team of an unknown organisation": (
        "teams: {t: {organisation: nobody}}",
        "9:13: error: there is no organisation 'nobody'",
    ),
    "an organisation with users": (
        "organisations: {o: {each_user: {}}}",
        "9:21: error: unknown key 'each_user' in organisations.o",
    ),
    "a key of an unknown team": (
        (f"{HASH}}}", f"{HASH}, team: nobody}}"),
        "error: there is no team 'nobody'",
    ),
    "a day that is none": (
        (f"{HASH}}}", f"{HASH}, expires: 2027-02-30}}"),
        "error: keys[0].expires is not usable: expected a date, as 2027-01-31",
    ),
    "a network with bits of a host": (
        (f"{HASH}}}", f"{HASH}, networks: [10.0.0.1/8]}}"),
        "error: keys[0].networks[0] is not usable: that network is 10.0.0.0/8",
    ),
    "a network of IPv4 in the clothes of IPv6": (
        (f"{HASH}}}", f"{HASH}, networks: ['::ffff:10.0.0.0/104']}}"),
        "error: keys[0].networks[0] is not usable: that network is 10.0.0.0/8",
    ),
    "a webhook that is no address": (
        "budgets: {alerts: {webhook: mailto:ops-word}}",
        "9:20: error: the webhook is no address that can be posted to",
    ),
    "a webhook at a cloud's metadata": (
        "budgets: {alerts: {webhook: 'http://169.254.169.254/word'}}",
        "9:20: error: the webhook hands out a cloud's credentials",
    ),
    "a signature with a number": (
        "budgets: {alerts: {webhook: 'https://hooks.example.com/', secret: 12345}}",
        "9:59: error: budgets.alerts.secret is not usable: expected text: write a key in quotes, or better as ${NAME}",
    ),
    "a pepper that is a list": ("pepper: [word]", "9:1: error: pepper is not usable: expected text"),
    "tokens that anybody can make": (
        "identity: [{name: c, issuer: 'https://i.example', audience: s, algorithms: [HS256]}]",
        "error: identity[0].algorithms[0] must be one of 'RS256'",
    ),
    "one port": ("server: {admin_port: 8080}", "9:10: error: clients and administration have the same port"),
}

WARNINGS = {
    "route for an unknown key": (
        "routes: [{name: r, when: {key: teem}}]",
        "9:27: warning: there is no key 'teem' in this file (did you mean 'team'?)",
    ),
    "auth without keys": (
        (f"keys:\n  - {{id: team, secret_hash: {HASH}}}", "auth: on"),
        "7:1: warning: auth is on, but there are no keys: nobody can ask before one is made",
    ),
    "plain pepper": ("pepper: salt", "9:1: warning: pepper is a secret in plain text (write ${NAME}"),
    "plain secret": (("${OPENAI_API_KEY}", "sk-12"), "2:12: warning: api_key is a secret in plain text (write ${NAME}"),
    "plain secret in a list": (("${OPENAI_API_KEY}", "[sk-12]"), "2:22: warning: api_key is a secret in plain text"),
    "plain webhook": (
        "budgets: {alerts: {webhook: 'https://hooks.example.com/word'}}",
        "9:20: warning: webhook is a secret in plain text (write ${NAME}",
    ),
    "an open webhook": (
        "budgets: {alerts: {webhook: 'http://hooks.example.com/word'}}",
        "9:20: warning: the webhook, whose address is a secret, is asked unencrypted",
    ),
    "plain password": ("state: redis://:pw@host", "9:1: warning: state is a secret in plain text"),
    "http": (("https://gpu", "http://gpu"), "3:34: warning: prompts and keys go to gpu.example.com unencrypted"),
    "after one that takes all": (
        "routes: [{name: r}, {name: s}]",
        "9:22: warning: route 's' is only reached by its name: 'r' before it takes everything",
    ),
    "same conditions": (
        "routes: [{name: r, when: {needs: [tools]}}, {name: s, when: {needs: [tools]}}, {name: t}]",
        "9:46: warning: route 's' is only reached by its name: 'r' has the same conditions",
    ),
    "no default": (
        "routes: [{name: r, when: {needs: [tools]}}]",
        "9:1: warning: no route takes the requests that match none of these",
    ),
    "no key may": (
        (f"{HASH}}}", f"{HASH}, routes: [r]}}\nroutes: [{{name: s, when: {{intent: code}}}}, {{name: r}}]"),
        "9:11: warning: no key may use route 's'",
    ),
    "in pool and fallback": (
        "routes: [{name: r, policy: {pool: [a, b], fallback: [b]}}]",
        "9:54: warning: 'b' is in the pool already",
    ),
    "one company": (
        ("{provider: gpu, model: llama, weight: 0}", "{provider: openai, model: gpt-4o}\nroutes: [{name: r, policy: "
         "{pool: [a], fallback: [b]}}]"),
        "7:40: warning: all of route 'r' is run by openai, and fails when it does",
    ),
    "one company in the pool": (
        ("{provider: gpu, model: llama, weight: 0}", "{provider: openai, model: gpt-4o}\nroutes: [{name: r, policy: "
         "{pool: [a, b]}}]"),
        "7:29: warning: all of route 'r' is run by openai, and fails when it does",
    ),
    "a budget and no price": (
        "teams: {t: {budget: {usd: 5}}}",
        "6:3: warning: the price of 'b' is unknown: callers with a budget may not use it (give its price: {input: …",
    ),
    "a budget that takes no notice": (
        "teams: {t: {each_user: {budget: {usd: 5}}}}\nbudgets: {unknown_price: allow}",
        "6:3: warning: the price of 'b' is unknown: what it serves counts for nothing in any budget",
    ),
    "a reference without a price": (
        "routes: [{name: r, policy: {reference: b}}]",
        "9:29: warning: the price of 'b' is unknown: the saving of route 'r' is not reckoned",
    ),
    "administration for all": (
        "server: {admin_host: 0.0.0.0}",
        "9:10: warning: administration listens on 0.0.0.0 without a token",
    ),
}  # fmt: skip


def told(tmp_path: Path, content: bytes) -> list[str]:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(content)
    return [str(problem).removeprefix(f"{file}:").strip() for problem in check(file, ENVIRON)]


def changed(change: str | tuple[str, str]) -> bytes:
    if isinstance(change, str):
        return (GOOD + change + "\n").encode()
    assert change[0] in GOOD
    return GOOD.replace(*change).encode()


@pytest.mark.parametrize(("content", "problem"), POISON.values(), ids=POISON)
def test_what_is_no_configuration_is_refused_with_a_reason(tmp_path: Path, content: bytes, problem: str) -> None:
    problems = told(tmp_path, content)
    assert [p for p in problems if p.startswith(problem)], problems
    with pytest.raises(ConfigError):
        load(tmp_path / "gateway.yaml", ENVIRON)


@pytest.mark.parametrize(("change", "problem"), WRONG.values(), ids=WRONG)
def test_a_wrong_configuration_is_refused_with_line_and_reason(
    tmp_path: Path, change: str | tuple[str, str], problem: str
) -> None:
    problems = told(tmp_path, changed(change))
    assert [p for p in problems if problem in p], problems
    assert [p for p in problems if ": error: " in p][1:] == [], "one mistake, one error"
    with pytest.raises(ConfigError):
        load(tmp_path / "gateway.yaml", ENVIRON)


@pytest.mark.parametrize(("change", "problem"), WARNINGS.values(), ids=WARNINGS)
def test_a_doubtful_configuration_is_taken_with_a_warning(
    tmp_path: Path, change: str | tuple[str, str], problem: str
) -> None:
    problems = told(tmp_path, changed(change))
    assert [p for p in problems if p.startswith(problem)], problems
    load(tmp_path / "gateway.yaml", ENVIRON)


def test_a_good_configuration_has_no_problems(tmp_path: Path) -> None:
    assert told(tmp_path, GOOD.encode()) == []


@pytest.mark.parametrize("kind", ["vanished", "a directory"])
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path if kind == "a directory" else tmp_path / "gone.yaml"
    (problem,) = check(path, ENVIRON)
    assert str(problem).startswith(f"{path}: error: the file cannot be read: ")


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    file.chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read everything, so it steps back
    try:
        (problem,) = check(file, ENVIRON)
    finally:
        os.seteuid(user)
    assert problem.message == "the file cannot be read: Permission denied"


def test_no_secret_is_ever_told(tmp_path: Path) -> None:
    secret = "sk-never-to-be-seen"
    for change in (
        (HASH, secret),
        ("${OPENAI_API_KEY}", f"[{secret}, {{x: {secret}}}]"),
        ("${OPENAI_API_KEY}", f'"{secret}\\n"'),
        ("model: llama", "model: 7, weight: ${S}"),
        "routes: [{name: r, policy: {timeout: '${S}'}}]",
        f"server: {{admin_token: [{secret}]}}",
    ):
        file = tmp_path / "gateway.yaml"
        file.write_bytes(changed(change))
        problems = check(file, ENVIRON | {"S": secret})
        assert problems
        assert not [p for p in problems if secret in str(p)]


def test_a_provider_without_a_key_names_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(changed(("{api_key: ${OPENAI_API_KEY}}", "")))
    (problem,) = check(file, {})
    assert (problem.line, problem.column) == (2, 3)
    assert problem.message == "provider 'openai' has no api_key, and OPENAI_API_KEY is not set"


def test_every_alias_of_a_circle_is_told(tmp_path: Path) -> None:
    problems = told(tmp_path, changed("aliases: {x: y, y: x, z: x, w: a}"))
    assert [p.split(" (")[0] for p in problems] == [
        "9:11: error: alias 'x' leads round in a circle",
        "9:17: error: alias 'y' leads round in a circle",
        "9:23: error: alias 'z' leads round in a circle",
    ]


def test_the_usual_key_does_not_go_to_an_address_that_is_not_the_providers(tmp_path: Path) -> None:
    problems = told(tmp_path, changed(("{api_key: ${OPENAI_API_KEY}}", "{base_url: https://proxy.example.com/v1}")))
    assert problems == [
        "2:3: error: provider 'openai' has no api_key (write `api_key: ${OPENAI_API_KEY}` if that key is meant for "
        "this address: by itself it goes only to its own)"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "pepper: 9999777",
        "pepper: [x9999777]",
        'pepper: "9999777\\n"',
        "budgets: {alerts: {webhook: 9999777}}",
        "budgets: {alerts: {webhook: 'x9999777'}}",
        "budgets: {alerts: {webhook: 'http://169.254.169.254/9999777'}}",
        "budgets: {alerts: {webhook: 'https://u:x9999777@h.example/'}}",
        "budgets: {alerts: {webhook: 'https://h.example/', secret: 9999777}}",
        "budgets: {alerts: {webhook: 'https://h.example/', secret: [x9999777]}}",
        "server: {admin_token: 9999777}",
        "keys: [{id: other, secret_hash: x9999777}]",
    ],
)
def test_no_problem_says_a_secret(tmp_path: Path, line: str) -> None:
    file = tmp_path / "gateway.yaml"
    good = GOOD[: GOOD.index("keys:")] if line.startswith("keys") else GOOD
    file.write_text(f"{good}{line}\n")
    said = "".join(map(str, check(file, ENVIRON)))
    assert "error" in said
    assert "9999777" not in said
