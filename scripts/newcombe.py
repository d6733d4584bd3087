#!/usr/bin/env python3
"""Prints the values of TestPairedDifference (experiments/result): Newcombe's method 10 in decimal arithmetic of 40
digits, with Wilson's limits as the roots of their quadratic equation, apart from the program's own formulas.

Arguments are tables of pairs, both,first,second,neither; without any those of the test."""

import sys
from decimal import Decimal, getcontext

getcontext().prec = 40
Z = Decimal("1.9599639845400542355245944305205515279555")  # 97.5% quantile of the normal distribution


def wilson(k, n):
    """The roots p of (k/n - p)^2 = Z^2 p (1 - p) / n."""
    share = Decimal(k) / n
    a, b = 1 + Z * Z / n, 2 * share + Z * Z / n
    root = (b * b - 4 * a * share * share).sqrt()
    return (b - root) / (2 * a), (b + root) / (2 * a)


def newcombe(both, first, second, neither):
    """The difference of the two shares, and its limits."""
    n = both + first + second + neither
    p, q = Decimal(both + first) / n, Decimal(both + second) / n
    (p_low, p_high), (q_low, q_high) = wilson(both + first, n), wilson(both + second, n)
    margins = Decimal((both + first) * (second + neither) * (both + second) * (first + neither))
    determinant = Decimal(both * neither - first * second)
    if determinant > 0:  # corrected for continuity
        determinant = max(determinant - Decimal(n) / 2, Decimal(0))
    phi = determinant / margins.sqrt() if margins else Decimal(0)

    def side(x, y):
        return max(x * x - 2 * phi * x * y + y * y, Decimal(0)).sqrt()

    return p - q, p - q - side(p - p_low, q_high - q), p - q + side(p_high - p, q - q_low)


if __name__ == "__main__":
    for table in sys.argv[1:] or ["14,5,0,22", "1,1,7,12", "59,6,16,80", "7,0,0,3", "0,0,0,10", "0,10,0,0"]:
        print(table, *("%.8f" % x for x in newcombe(*map(int, table.split(",")))))
