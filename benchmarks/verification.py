"""How long it takes to verify a Cognito access token, beside other libraries and the RSA alone.

All contestants verify the same tokens, each a different one, in rounds that take turns; every
figure is a ratio to the RSA verification alone in the same round, since machines are noisy. Each
is set up as its users would for speed: keys parsed once, claims checked as far as it can.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from resource_server.testing.pool import CognitoPool
from resource_server.tokens import CognitoVerifier, KeyStore
from resource_server.tokens.parsing import base64url_decode

HERE = Path(__file__).parent
Contestant = Callable[[list[str]], float]
"""Verifies all tokens and returns microseconds a token."""

ALONE = "RSA alone (cryptography)"
WITH_PYTHON = "RSA, then 8 µs of any Python"
FIRST = "resource_server, first time"
AGAIN = "resource_server, seen before"


def main() -> None:
    """Run the rounds, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each takes its turn (15)")
    parser.add_argument("--tokens", type=int, default=1000, help="different tokens a round (1000)")
    parser.add_argument("--many", type=int, default=100_000, help="tokens for the memory test")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this SVG file")
    options = parser.parse_args()

    pool = CognitoPool()
    tokens = [_token(pool, index) for index in range(options.tokens)]
    with ExitStack() as stack:
        contestants = {
            **python_contestants(pool, tokens),
            **stack.enter_context(_node(pool, tokens)),
        }
        times = _take_turns(contestants, tokens, options.rounds)
    results = {
        "python": platform.python_version(),
        "tokens": options.tokens,
        "rounds": options.rounds,
        "verification": _summarised(times),
        "threads": threads(pool, tokens),
        "memory": memory(pool, options.many),
    }
    _print(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(results, options.plot)


def _token(pool: CognitoPool, index: int) -> str:
    return pool.access_token(
        scope="aws.cognito.signin.user.admin me randoms", username=f"user-{index}", groups=["users"]
    )


def _key_store(pool: CognitoPool) -> KeyStore:
    document = json.dumps(pool.jwks()).encode()
    return KeyStore(pool.jwks_uri, fetch=lambda _uri, _timeout: document)


def _verifier(pool: CognitoPool, **options: Any) -> CognitoVerifier:
    return CognitoVerifier(
        pool.user_pool, client_ids={pool.client_id}, keys=_key_store(pool), **options
    )


def _each(verify: Callable[[str], object]) -> Contestant:
    def run(tokens: list[str]) -> float:
        begun = time.perf_counter()
        for token in tokens:
            verify(token)
        return (time.perf_counter() - begun) / len(tokens) * 1e6

    return run


def python_contestants(pool: CognitoPool, tokens: list[str]) -> dict[str, Contestant]:
    """Set up everybody who runs in this process."""
    # Half of the tokens fit: with the tokens always in the same order none is ever found, and
    # remembering one pushes another out, as in a process that has run for a while.
    full = _verifier(pool, cache_size=len(tokens) // 2)
    return {
        ALONE: _rsa(pool, tokens)[ALONE],
        FIRST: _each(full.verify),
        AGAIN: _each(_verifier(pool).verify),
        "joserfc": _each(_joserfc(pool)),
        "PyJWT": _each(_pyjwt(pool)),
        "python-jose": _each(_python_jose(pool)),
        "Authlib (RFC 9068 validator)": _each(_authlib(pool)),
    }


def _rsa(pool: CognitoPool, tokens: list[str]) -> dict[str, Contestant]:
    """Set up the signatures by themselves."""
    _, key = _key_store(pool).find(str(pool.keys.access.kid))
    parts = [token.encode().rpartition(b".") for token in tokens]
    signatures = [(base64url_decode(signature), signed) for signed, _, signature in parts]
    padding, digest = PKCS1v15(), SHA256()

    def alone(_: list[str]) -> float:
        begun = time.perf_counter()
        for signature, signed in signatures:
            key.verify(signature, signed, padding, digest)
        return (time.perf_counter() - begun) / len(signatures) * 1e6

    def with_python(_: list[str]) -> float:
        begun = time.perf_counter()
        for signature, signed in signatures:
            key.verify(signature, signed, padding, digest)
            for number in range(110):
                str(number) + "x"
        return (time.perf_counter() - begun) / len(signatures) * 1e6

    return {ALONE: alone, WITH_PYTHON: with_python}


def _joserfc(pool: CognitoPool) -> Callable[[str], object]:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(pool.jwks())  # type: ignore[arg-type]
    claims = jwt.JWTClaimsRegistry(
        leeway=10,
        iss={"essential": True, "value": pool.issuer},
        client_id={"essential": True, "value": pool.client_id},
        token_use={"essential": True, "value": "access"},
        exp={"essential": True},
    )

    def verify(token: str) -> object:
        decoded = jwt.decode(token, keys, algorithms=["RS256"])
        claims.validate(decoded.claims)
        return decoded

    return verify


def _pyjwt(pool: CognitoPool) -> Callable[[str], object]:
    import jwt

    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(pool.jwks()).keys}

    def verify(token: str) -> object:
        kid = jwt.get_unverified_header(token)["kid"]
        claims = jwt.decode(
            token,
            keys[kid],
            algorithms=["RS256"],
            issuer=pool.issuer,
            leeway=10,
            options={"require": ["exp", "iat", "iss"], "verify_aud": False},
        )
        if claims["token_use"] != "access" or claims["client_id"] != pool.client_id:
            raise ValueError(token)
        return claims

    return verify


def _python_jose(pool: CognitoPool) -> Callable[[str], object]:
    from jose import jwk, jwt

    keys = {key["kid"]: jwk.construct(key) for key in pool.jwks()["keys"]}

    def verify(token: str) -> object:
        kid = jwt.get_unverified_header(token)["kid"]
        claims = jwt.decode(
            token, keys[kid], algorithms=["RS256"], issuer=pool.issuer, options={"leeway": 10}
        )
        if claims["token_use"] != "access" or claims["client_id"] != pool.client_id:
            raise ValueError(token)
        return claims

    return verify


def _authlib(pool: CognitoPool) -> Callable[[str], object]:
    """Authlib's validator, let off the `aud` and `typ` that Cognito's tokens do not have."""
    from joserfc import jwt
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(pool.jwks())  # type: ignore[arg-type]

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib is untyped
        def get_jwks(self) -> KeySet:
            return keys

        def authenticate_token(self, token_string: str) -> object:
            decoded = jwt.decode(token_string, key=self.get_jwks(), algorithms=["RS256"])
            registry = jwt.JWTClaimsRegistry(
                iss={"essential": True, "value": pool.issuer}, exp={"essential": True}
            )
            registry.validate(decoded.claims)
            return decoded.claims

    return Validator(issuer=pool.issuer, resource_server=pool.client_id).authenticate_token


@contextmanager
def _node(pool: CognitoPool, tokens: list[str]) -> Iterator[dict[str, Contestant]]:
    """AWS's verifier on Node, in a process of its own that measures itself."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        print("SKIPPED: aws-jwt-verify needs node and npm, which are not here", file=sys.stderr)
        yield {}
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copy(HERE / "aws_jwt_verify.mjs", directory / "run.mjs")
        install = [npm, "install", "--silent", "--no-fund", "--no-audit", "aws-jwt-verify@5"]
        subprocess.run(install, cwd=directory, check=True)
        task = {"tokens": tokens, "jwks": pool.jwks()}
        task |= {"userPoolId": pool.pool_id, "clientId": pool.client_id}
        (directory / "task.json").write_text(json.dumps(task), encoding="utf-8")
        process = subprocess.Popen(
            [node, "run.mjs", "task.json"],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def run(_: list[str]) -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield {"aws-jwt-verify 5 (Node)": run}
        process.terminate()
        process.wait()


def _take_turns(
    contestants: dict[str, Contestant], tokens: list[str], rounds: int
) -> dict[str, list[float]]:
    for run in contestants.values():
        run(tokens)  # warm up
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for name, run in contestants.items():
            times[name].append(run(tokens))
    print(file=sys.stderr)
    return times


def _summarised(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    summary = {}
    for name, values in times.items():
        ratios = [value / alone for value, alone in zip(values, times[ALONE], strict=True)]
        summary[name] = {
            "microseconds": round(statistics.median(values), 2),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_min": round(min(ratios), 3),
            "ratio_max": round(max(ratios), 3),
        }
    return summary


def threads(pool: CognitoPool, tokens: list[str]) -> dict[str, dict[str, float]]:
    """Compare the throughput of eight threads with that of one.

    The RSA verification lets go of the GIL. With a free core that wakes another thread there, which
    costs whoever does anything in Python besides. On one core only a lock would be seen.
    """
    found = {"all cores": _eight_to_one(pool, tokens)}
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        found["one core"] = _eight_to_one(pool, tokens)
        os.sched_setaffinity(0, cores)
    return found


def _eight_to_one(pool: CognitoPool, tokens: list[str]) -> dict[str, float]:
    found = {}
    contestants = {
        **_rsa(pool, tokens),
        FIRST: _each(_verifier(pool, cache_size=0).verify),
        AGAIN: _each(_verifier(pool).verify),
        "joserfc": _each(_joserfc(pool)),
        "PyJWT": _each(_pyjwt(pool)),
    }
    for name, run in contestants.items():
        # Long enough that the GIL's switch interval, 5 ms, does not decide.
        times = max(1, round(0.1 / (run(tokens) * len(tokens) / 1e6)))
        ratios = []
        for _ in range(5):
            begun = time.perf_counter()
            _repeat(run, tokens, 8 * times)
            one = time.perf_counter() - begun
            workers = [
                threading.Thread(target=_repeat, args=(run, tokens, times)) for _ in range(8)
            ]
            begun = time.perf_counter()
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            ratios.append(one / (time.perf_counter() - begun))
        found[name] = round(statistics.median(ratios), 2)
    return found


def _repeat(run: Contestant, tokens: list[str], times: int) -> None:
    for _ in range(times):
        run(tokens)


def memory(pool: CognitoPool, many: int) -> dict[str, float]:
    """Verify many different tokens; the memory after a tenth of them is that after all."""
    verifier = _verifier(pool)
    sizes = {}
    for index in range(many):
        verifier.verify(_token(pool, index))
        if (index + 1) % max(1, many // 10) == 0:
            sizes[index + 1] = _resident_mib()
            print(f"\rtoken {index + 1} of {many}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    after = list(sizes.values())
    return {"tokens": many, "mib_after_two_tenths": after[1], "mib_after_all": after[-1]}


def _resident_mib() -> float:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return round(int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)


def _print(results: dict[str, Any]) -> None:
    print(f"{'':34}{'µs':>8}{'times RSA alone':>18}{'(min-max)':>16}")
    for name, row in results["verification"].items():
        spread = f"({row['ratio_min']:.2f}-{row['ratio_max']:.2f})"
        print(f"{name:34}{row['microseconds']:8.1f}{row['ratio']:18.2f}{spread:>16}")
    for cores, ratios in results["threads"].items():
        print(f"eight threads against one, {cores}: {ratios}")
    print(f"memory: {results['memory']}")


def plot(results: dict[str, Any], file: Path) -> None:
    """Draw the ratios as bars."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "resource_server"
    import matplotlib.pyplot as plt

    rows = sorted(results["verification"].items(), key=lambda row: -row[1]["ratio"])
    names, ratios = [name for name, _ in rows], [row["ratio"] for _, row in rows]
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(rows) + 1))
    colours = ["#2a6f97" if "resource_server" in name else "#adb5bd" for name in names]
    bars = axes.barh(names, ratios, color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlabel("time for one access token, as a multiple of the RSA verification alone")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
