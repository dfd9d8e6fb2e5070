"""Whitening: linear maps after which the features of the data fitted to are uncorrelated, with variance 1."""

from __future__ import annotations

import math

import numpy as np

from ..._checks import as_float, as_int
from ._statistics import covariance, require_samples
from .base import Transform

__all__ = ["PCAWhitening", "ZCAWhitening"]


class _Whitening(Transform):
    """The covariance's eigenvectors and what is made of them; samples are flattened to F features."""

    fitted = ("mean", "matrix", "unwhiten")

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps = as_float("eps", eps, 0.0)
        self.mean: np.ndarray | None = None
        self.matrix: np.ndarray | None = None
        self.unwhiten: np.ndarray | None = None

    def _principal(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Set the mean; return the eigenvalues plus eps, largest first, and the eigenvectors as rows (F, F)."""
        self.mean, cov = covariance(type(self).__name__, x)
        values, vectors = np.linalg.eigh(cov)
        values, vectors = values[::-1], vectors.T[::-1]
        # An eigenvector's sign is arbitrary: let its largest entry be positive, so that fits can be compared.
        largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1, keepdims=True), axis=1)
        values = np.maximum(values, 0.0) + self.eps
        if not values[-1] > 0:
            raise ValueError(f"{type(self).__name__}: expected eps > 0 for data of dependent features, got {self.eps}")
        return values, vectors * np.sign(largest)

    def _project(self, x: np.ndarray) -> np.ndarray:
        mean, matrix, _ = self._fitted_arrays()
        flat = x.reshape(len(x), math.prod(x.shape[1:]))
        if flat.shape[1] != mean.size:
            raise ValueError(
                f"{type(self).__name__}: expected samples of {mean.size} features, got a batch of shape {x.shape}"
            )
        centred: np.ndarray = np.subtract(flat, mean.astype(np.float32), dtype=np.float32)
        return centred @ matrix.astype(np.float32).T

    def _restore(self, z: np.ndarray) -> np.ndarray:
        mean, _, unwhiten = self._fitted_arrays()
        flat = np.asarray(z, np.float32).reshape(len(z), math.prod(np.shape(z)[1:]))
        return flat @ unwhiten.astype(np.float32).T + mean.astype(np.float32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(eps={self.eps:g})"


class PCAWhitening(_Whitening):
    r"""Project on the principal components, and divide each by its standard deviation unless asked not to.

    With the covariance's eigenvectors as the columns of :math:`U` and its eigenvalues :math:`\lambda`,
    :math:`z = \mathrm{diag}(\lambda + \epsilon)^{-1/2}\, U^T (x - \mu)`, as float32 of shape (N, components).

    Parameters
    ----------
    n_components : int, optional
        How many components to keep, those of the largest variance first; all by default.
    eps : float, default 1e-5
        Added to the eigenvalues, so that directions without variance are not blown up.
    whiten : bool, default True
        Without it features are decorrelated only, each with its own variance: :math:`z = U^T (x - \mu)`.

    Raises
    ------
    ValueError
        If there are fewer features than components, or a batch has other features than those fitted to.
    RuntimeError
        If used before `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import PCAWhitening
    >>> x = np.random.default_rng(0).normal(size=(500, 3)) @ np.array([[3, 0, 0], [1, 2, 0], [0, 1, 1]])
    >>> z = PCAWhitening(eps=0).fit(x)(x)
    >>> bool(np.allclose(np.cov(z.T, bias=True), np.eye(3), atol=1e-4))
    True
    """

    def __init__(self, n_components: int | None = None, eps: float = 1e-5, whiten: bool = True) -> None:
        super().__init__(eps)
        self.whiten = bool(whiten)
        self.n_components = None if n_components is None else as_int("n_components", n_components, 1)

    def fit(self, x: np.ndarray) -> PCAWhitening:
        """Learn mean and components of ``x`` (N, ...), in float64, and return the transform itself."""
        require_samples("PCAWhitening", x)
        features = x[:1].size
        if self.n_components is not None and self.n_components > features:
            raise ValueError(f"PCAWhitening: expected at most {features} components, got {self.n_components}")
        values, vectors = self._principal(x)
        values, vectors = values[: self.n_components, None], vectors[: self.n_components]
        if not self.whiten:
            values = np.ones_like(values)
        self.matrix, self.unwhiten = vectors / np.sqrt(values), (vectors * np.sqrt(values)).T
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the whitened components (N, components)."""
        return self._project(x)

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Return the flat samples (N, F) that whitened components stand for."""
        return self._restore(z)


class ZCAWhitening(_Whitening):
    r"""Whiten by the one symmetric matrix that does: the result stays as near to the data as whitening allows.

    With the covariance's eigenvectors as the columns of :math:`U` and its eigenvalues :math:`\lambda`,
    :math:`z = U\, \mathrm{diag}(\lambda + \epsilon)^{-1/2}\, U^T (x - \mu)`, in the shape of :math:`x`, as
    float32; images stay images (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009).

    Parameters
    ----------
    eps : float, default 1e-5
        Added to the eigenvalues, so that directions without variance are not blown up.

    Raises
    ------
    ValueError
        If a batch has other features than those fitted to.
    RuntimeError
        If used before `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import ZCAWhitening
    >>> x = np.random.default_rng(0).normal(size=(500, 1, 2, 2)).cumsum(axis=3)
    >>> z = ZCAWhitening(eps=0).fit(x)(x)
    >>> z.shape, bool(np.allclose(np.cov(z.reshape(500, 4).T, bias=True), np.eye(4), atol=1e-4))
    ((500, 1, 2, 2), True)
    """

    def fit(self, x: np.ndarray) -> ZCAWhitening:
        """Learn mean and matrix of ``x`` (N, ...), in float64, and return the transform itself."""
        require_samples("ZCAWhitening", x)
        values, vectors = self._principal(x)
        self.matrix = (vectors.T / np.sqrt(values)) @ vectors
        self.unwhiten = (vectors.T * np.sqrt(values)) @ vectors
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the whitened batch, in the shape of ``x``."""
        return self._project(x).reshape(x.shape)

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Return the batch in its original units."""
        return self._restore(z).reshape(np.shape(z))
