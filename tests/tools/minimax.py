#!/usr/bin/env python3
"""Polynomial coefficients of compiler/codegen/vmath_coef.h.

For each row of TABLE: the polynomial p of the given degree that minimises the largest
|weight(t) * (p(t) - f(t))| on [a, b], found by the Remez exchange in multiple precision, then
rounded to f32 or f64. The first `refit` + 1 coefficients are rounded one by one, the higher ones fitted
again after each. The error in the comment is that of the rounded coefficients in exact
arithmetic, as log2 of the weighted error (relative error of the function unless stated).

Usage: python3 tests/tools/minimax.py | clang-format > compiler/codegen/vmath_coef.h     (needs mpmath; 15 s)
"""
import struct
import sys
from mpmath import mp, mpf, matrix, lu_solve

mp.dps = 50


def near_zero(f):
    """f with the removable singularity at 0 filled in."""
    tiny = mpf(10) ** -30

    def g(t):
        if abs(t) < tiny:
            with mp.workdps(320):
                return +f(tiny)
        with mp.workdps(320):
            return +f(t)

    return g


def evaluate(coefs, t):
    r = mpf(0)
    for c in reversed(coefs):
        r = r * t + c
    return r


def remez(f, weight, a, b, degree, first=0):
    """Coefficients of t^first .. t^degree."""
    n = degree - first + 1
    # Points of a Chebyshev set, inside the interval and off its middle, since the weight may be 0 at an end or there.
    points = [(a + b) / 2 - (b - a) * mpf("0.4873") * mp.cos(mp.pi * (mpf(i) + mpf(1) / 2) / (n + 1)) + (b - a) * mpf("0.0113") for i in range(n + 1)]
    grid_count = 40 * (n + 1)
    grid = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / grid_count) for i in range(grid_count + 1)]
    samples = [(t, f(t), weight(t)) for t in grid]
    coefs = None
    for _ in range(25):
        A, rhs = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for i, t in enumerate(points):
            for j in range(n):
                A[i, j] = t ** (first + j)
            w = max(weight(t), mpf(10) ** -30)
            A[i, n] = (-1) ** i / w
            rhs[i] = f(t)
        solution = lu_solve(A, rhs)
        coefs = [mpf(0)] * first + [solution[j] for j in range(n)]
        level = abs(solution[n])
        errors = [(t, w * (evaluate(coefs, t) - v)) for t, v, w in samples]
        # One extreme of each run of equal sign, then the best n + 1 of alternating sign.
        extremes = []
        for t, e in errors:
            if e == 0:
                continue
            if extremes and (e > 0) == (extremes[-1][1] > 0):
                if abs(e) > abs(extremes[-1][1]):
                    extremes[-1] = (t, e)
            else:
                extremes.append((t, e))
        while len(extremes) > n + 1:
            weakest = min(range(len(extremes)), key=lambda i: abs(extremes[i][1]))
            if 0 < weakest < len(extremes) - 1 and len(extremes) > n + 2:
                left = abs(extremes[weakest - 1][1]) < abs(extremes[weakest + 1][1])
                start = weakest - 1 if left else weakest
                del extremes[start:start + 2]
            elif abs(extremes[0][1]) < abs(extremes[-1][1]):
                extremes.pop(0)
            else:
                extremes.pop()
        if len(extremes) < n + 1:
            break
        points = [t for t, _ in extremes]
        if max(abs(e) for _, e in extremes) < level * mpf("1.02"):
            break
    return coefs, max(abs(w * (evaluate(coefs, t) - v)) for t, v, w in samples)


def rounded(value, bits):
    if bits == 32:
        return mpf(struct.unpack("f", struct.pack("f", float(value)))[0])
    return mpf(float(value))


def fit(f, weight, a, b, degree, bits, refit):
    f = near_zero(f)
    fixed = []
    for k in range(min(refit, degree) + 1):
        coefs, _ = remez(lambda t: f(t) - evaluate(fixed, t) if fixed else f(t), weight, a, b, degree, len(fixed))
        fixed.append(rounded(coefs[k], bits))
    coefs = remez(lambda t: f(t) - evaluate(fixed, t), weight, a, b, degree, len(fixed))[0] if len(fixed) <= degree else fixed
    coefs = fixed + [rounded(c, bits) for c in coefs[len(fixed):]]
    grid = [a + (b - a) * i / 400 for i in range(401)]
    error = max(abs(weight(t) * (evaluate(coefs, t) - f(t))) for t in grid)
    return coefs, error


half_ln2 = mp.log(2) / 2 * mpf("1.0005")
half = mpf("0.5005")
log_a, log_b = mp.sqrt(mpf(1) / 2) - 1, mp.sqrt(mpf(2)) - 1
log_s = (mp.sqrt(mpf(2)) - 1) / (mp.sqrt(mpf(2)) + 1)
quarter_pi_squared = (mp.pi / 4 * mpf("1.0005")) ** 2
erf_split = mpf(1)
ERF_K = mpf(4)


def root(f):
    """f of sqrt(z), for odd and even functions written in z = x * x."""
    return lambda z: f(mp.sqrt(z))


def erfc_mapped(t):
    """erfc(x) exp(x^2) (1 + 2x) at x = K (1 + t) / (1 - t): smooth on [0, inf)."""
    x = ERF_K * (1 + t) / (1 - t)
    return mp.erfc(x) * mp.exp(x * x) * (1 + 2 * x)


# name, bits, degree, refit, a, b, f, weight, what
TABLE = [
    ("exp", 32, 4, 2, -half_ln2, half_ln2, lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: r**2 / mp.exp(r),
     "(exp(r) - 1 - r) / r^2"),
    ("exp", 64, 9, 2, -half_ln2, half_ln2, lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: r**2 / mp.exp(r),
     "(exp(r) - 1 - r) / r^2"),
    ("expm1", 32, 5, -1, -half_ln2, half_ln2, lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: abs(r) + mpf("0.05"),
     "(exp(r) - 1 - r) / r^2, error relative to r"),
    ("expm1", 64, 10, -1, -half_ln2, half_ln2, lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: abs(r) + mpf("0.05"),
     "(exp(r) - 1 - r) / r^2, error relative to r"),
    ("exp2", 32, 5, 2, -half, half, lambda r: (mpf(2)**r - 1) / r, lambda r: abs(r) / mpf(2)**r,
     "(2^r - 1) / r"),
    ("exp2", 64, 10, 2, -half, half, lambda r: (mpf(2)**r - 1) / r - mp.log(2), lambda r: abs(r) / mpf(2)**r,
     "(2^r - 1) / r - log(2)"),
    ("log", 32, 8, 1, log_a, log_b, lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, lambda f: abs(f**3 / mp.log1p(f)) if f != 0 else mpf(10)**-12,
     "(log(1 + f) - f + f^2 / 2) / f^3"),
    ("log", 64, 6, 2, mpf(0), log_s**2, root(lambda s: (2 * mp.atanh(s) - 2 * s) / s**3), lambda z: z / 2 + mpf(10)**-12,
     "(2 atanh(s) - 2 s) / s^3 in z = s^2, error relative to 2 s"),
    ("pow", 64, 8, 1, mpf(0), log_s**2, root(lambda s: (2 * mp.atanh(s) - 2 * s - 2 * s**3 / 3 - 2 * s**5 / 5) / s**7),
     lambda z: z**3 / 2 + mpf(10)**-22, "(2 atanh(s) - 2 s - 2/3 s^3 - 2/5 s^5) / s^7 in z = s^2, error relative to 2 s"),
    ("sin", 32, 2, 2, mpf(0), quarter_pi_squared, root(lambda x: (mp.sin(x) - x) / x**3), lambda z: z + mpf(10)**-9,
     "(sin(x) - x) / x^3 in z = x^2"),
    ("sin", 64, 5, 2, mpf(0), quarter_pi_squared, root(lambda x: (mp.sin(x) - x) / x**3), lambda z: z + mpf(10)**-9,
     "(sin(x) - x) / x^3 in z = x^2"),
    ("cos", 32, 2, 2, mpf(0), quarter_pi_squared, root(lambda x: (mp.cos(x) - 1 + x * x / 2) / x**4), lambda z: z * z / mp.cos(mp.sqrt(z)) + mpf(10)**-9,
     "(cos(x) - 1 + x^2 / 2) / x^4 in z = x^2"),
    ("cos", 64, 5, 2, mpf(0), quarter_pi_squared, root(lambda x: (mp.cos(x) - 1 + x * x / 2) / x**4), lambda z: z * z / mp.cos(mp.sqrt(z)) + mpf(10)**-9,
     "(cos(x) - 1 + x^2 / 2) / x^4 in z = x^2"),
    ("asin", 64, 12, 2, mpf(0), mpf("0.2501"), root(lambda x: (mp.asin(x) - x) / x**3), lambda z: z + mpf(10)**-9,
     "(asin(x) - x) / x^3 in z = x^2"),
    ("atan", 64, 19, 2, mpf(0), mpf(1), root(lambda x: (mp.atan(x) - x) / x**3), lambda z: z / mp.atan(mp.sqrt(z)) * mp.sqrt(z) if z > 0 else mpf(10)**-9,
     "(atan(x) - x) / x^3 in z = x^2"),
    ("sinh", 64, 7, 2, mpf(0), mpf(1), root(lambda x: (mp.sinh(x) - x) / x**3), lambda z: z + mpf(10)**-9,
     "(sinh(x) - x) / x^3 in z = x^2"),
    ("erf", 64, 12, -1, mpf(0), mpf(1), root(lambda x: mp.erf(x) / x - 1), lambda z: mpf(1),
     "erf(x) / x - 1 in z = x^2"),
    ("erfc_log", 32, 8, 2, mpf(0), mpf("3.95"), lambda x: mp.log(mp.erfc(x)) / x + 1,
     lambda x: x * mp.erfc(x) / mp.erf(x) if x > 0 else mp.sqrt(mp.pi) / 2,
     "log(erfc(x)) / x + 1, error relative to erf(x)"),
    ("erfc", 64, 20, 2, (1 - ERF_K) / (1 + ERF_K), mpf(1) / 5, erfc_mapped, lambda t: mp.exp(-(ERF_K * (1 + t) / (1 - t)) ** 2),
     "erfc(x) exp(x^2) (1 + 2 x) in t = (x - 4) / (x + 4), error relative to 1"),
]


def split(value, bits_each):
    """Parts that add up to value; part i holds bits_each[i] bits, cut off (0: f64's own rounding)."""
    parts = []
    for bits in bits_each:
        if bits == 0:
            part = mpf(float(value))
        else:
            unit = mpf(2) ** (mp.floor(mp.log(abs(value), 2)) + 1 - bits)
            part = (mp.floor(value / unit) if value > 0 else mp.ceil(value / unit)) * unit
        parts.append(part)
        value -= part
    return parts


# name, value, bits of each part, what
SPLITS = [
    ("ln2_32", lambda: mp.log(2), [15, 24], "log(2); k times the first part is exact for |k| < 2^9"),
    ("ln2_64", lambda: mp.log(2), [40, 0], "log(2); k times the first part is exact for |k| < 2^12"),
    ("ln2_dd", lambda: mp.log(2), [0, 0], "log(2) in two f64"),
    ("log2e_dd", lambda: 1 / mp.log(2), [0, 0], "1 / log(2) in two f64"),
    ("pio2_dd", lambda: mp.pi / 2, [0, 0], "pi / 2 in two f64"),
    ("two_thirds_dd", lambda: mpf(2) / 3, [0, 0], "2/3 in two f64"),
    ("two_fifths_dd", lambda: mpf(2) / 5, [0, 0], "2/5 in two f64"),
]


def turns(name, exponents, bits_each, what):
    """2^e * 2/pi modulo 4, in parts, for e in exponents: what multiplies a whole mantissa in the reduction."""
    print(f"\n/* {what} */")
    with mp.workdps(450):
        rows = []
        for e in exponents:
            value = mpf(2) ** e * 2 / mp.pi
            value -= 4 * mp.floor(value / 4)
            rows.append([float(p) for p in split(value, bits_each)])
    for i in range(len(bits_each)):
        print(f"static const double {name}_{i}[] = {{")
        for r in rows:
            print(f"    {r[i].hex()},")
        print("};")


def main():
    wanted = sys.argv[1:]
    print("/* Polynomial coefficients, lowest degree first. Written by tests/tools/minimax.py. */")
    print("#ifndef TN_COMPILER_CODEGEN_VMATH_COEF_H\n#define TN_COMPILER_CODEGEN_VMATH_COEF_H")
    for name, bits, degree, refit, a, b, f, weight, what in TABLE:
        if wanted and f"{name}_{bits}" not in wanted:
            continue
        coefs, error = fit(f, weight, a, b, degree, bits, refit)
        print(f"\n/* {what}, on [{mp.nstr(a, 6)}, {mp.nstr(b, 6)}], error 2^{float(mp.log(error, 2)):.1f} */")
        print(f"static const double {name}_{bits}[] = {{")
        for c in coefs:
            print(f"    {float(c).hex()}, /* {float(c):.9g} */")
        print("};")
        sys.stdout.flush()
    if not wanted:
        for name, value, bits_each, what in SPLITS:
            print(f"\n/* {what} */")
            print(f"static const double {name}[] = {{{', '.join(float(p).hex() for p in split(value(), bits_each))}}};")
        turns("turns_32", range(-150, 105), [28, 0], "2^(i - 150) * 2/pi mod 4; 24 bits times the first part is exact")
        turns("turns_64", range(-1075, 973, 16), [0, 0, 0, 0], "2^(16 i - 1075) * 2/pi mod 4")
    print("\n#endif")


if __name__ == "__main__":
    main()
