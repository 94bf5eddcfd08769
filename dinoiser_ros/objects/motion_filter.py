# SPDX-License-Identifier: Apache-2.0
"""A Kalman filter of constant velocity for several coordinates that do not depend on each other."""

from __future__ import annotations

import numpy as np


class MotionFilter:
    """Position and velocity of each coordinate, and how unsure they are.

    The model is that of a velocity changed by white noise (Bar-Shalom, Li, Kirubarajan: Estimation
    with Applications to Tracking and Navigation, 2001, section 6.2.2). Coordinates are in any unit;
    a coordinate that was never measured is NaN.

    Args:
        measured: (D,) first measurement; NaN for a coordinate without one.
        error: (D,) its standard deviation.
        speed: (D,) standard deviation of the velocity at the start, in units a second.

    Attributes:
        value, rate: (D,) position, and velocity in units a second.
    """

    def __init__(self, measured: np.ndarray, error: np.ndarray, speed: np.ndarray) -> None:
        self.value = measured.astype(np.float64)
        self.rate = np.zeros_like(self.value)
        self._start_speed = speed
        self._pp = error.astype(np.float64) ** 2
        self._pv = np.zeros_like(self.value)
        self._vv = speed.astype(np.float64) ** 2

    @property
    def error(self) -> np.ndarray:
        """(D,) standard deviation of `value`."""
        deviation: np.ndarray = np.sqrt(self._pp)
        return deviation

    def predict(self, seconds: float, acceleration: np.ndarray) -> None:
        """Go on to a later moment.

        Args:
            seconds: how much later, at least 0.
            acceleration: (D,) by how much the velocity may change in a second, as a standard
                deviation; it grows with the root of the time.
        """
        noise = acceleration**2
        self.value += seconds * self.rate
        self._pp += seconds * (2 * self._pv + seconds * self._vv) + noise * seconds**3 / 3
        self._pv += seconds * self._vv + noise * seconds**2 / 2
        self._vv = self._vv + noise * seconds

    def update(self, measured: np.ndarray, error: np.ndarray) -> None:
        """Take a measurement in.

        Args:
            measured: (D,); NaN for a coordinate that was not measured.
            error: (D,) its standard deviation.
        """
        new = np.isnan(self.value) & ~np.isnan(measured)
        if new.any():
            self.value[new], self.rate[new] = measured[new], 0.0
            self._pp[new], self._pv[new] = error[new] ** 2, 0.0
            self._vv[new] = self._start_speed[new] ** 2
        there = ~(np.isnan(measured) | new)
        total = self._pp + error**2
        gain, rate_gain = (np.where(there, part / total, 0.0) for part in (self._pp, self._pv))
        surprise = np.where(there, measured - self.value, 0.0)
        self.value += gain * surprise
        self.rate += rate_gain * surprise
        self._vv = self._vv - rate_gain * self._pv
        self._pv = (1 - gain) * self._pv
        self._pp = (1 - gain) * self._pp

    def move(self, value: np.ndarray, rate: np.ndarray) -> None:
        """Add to position and velocity, as when the camera moves differently: both (D,)."""
        self.value += value
        self.rate += rate
