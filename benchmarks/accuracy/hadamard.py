"""Orthogonal matrices with entries of equal size, as Kronecker products of small ones."""

from __future__ import annotations

import numpy as np


def factors(size: int) -> tuple[np.ndarray, ...]:
    """Orthogonal factors whose Kronecker product has `size` rows.

    Sizes 2^a 3^b with a >= 2 b are products of Hadamard matrices of order 12 (Paley) and 2^k
    (Sylvester): 576 = 12 x 12 x 4, 1536 = 12 x 128, 64 = 64. No such product is known here for
    other sizes: they get one random orthogonal matrix.
    """
    twos, rest = _divide(size, 2)
    threes, rest = _divide(rest, 3)
    if rest != 1 or twos < 2 * threes:
        return (_random_orthogonal(size),)
    power = 2 ** (twos - 2 * threes)
    matrices = [_paley12()] * threes + ([_sylvester(power)] if power > 1 or not threes else [])
    return tuple((m / np.sqrt(len(m))).astype(np.float32) for m in matrices)


def product(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    """The Kronecker product in double precision."""
    result = np.ones((1, 1))
    for part in parts:
        result = np.kron(result, part.astype(np.float64))
    return result


def randomised(size: int, seed: int) -> np.ndarray:
    """diag(random signs) H: the rotation of the residual stream, [size, size] in f64."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size)
    matrix = signs[:, None] * product(factors(size))
    # The factors are rounded to f32; folded weights deserve an orthogonal matrix.
    return matrix / np.sqrt((matrix**2).sum(axis=1, keepdims=True))


def _divide(size: int, prime: int) -> tuple[int, int]:
    count = 0
    while size % prime == 0:
        size, count = size // prime, count + 1
    return count, size


def _sylvester(size: int) -> np.ndarray:
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _paley12() -> np.ndarray:
    """I + S for the skew matrix S of quadratic residues modulo 11."""
    squares = {i * i % 11 for i in range(1, 11)}
    skew = np.zeros((12, 12))
    skew[0, 1:], skew[1:, 0] = 1, -1
    for i in range(11):
        for j in range(11):
            if i != j:
                skew[1 + i, 1 + j] = 1 if (i - j) % 11 in squares else -1
    return np.eye(12) + skew


def _random_orthogonal(size: int) -> np.ndarray:
    gaussian = np.random.default_rng(size).standard_normal((size, size))
    return np.linalg.qr(gaussian)[0].astype(np.float32)
