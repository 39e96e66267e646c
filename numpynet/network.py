"""The network: masked linear layers with an activation between them, over one vector of parameters.

An ``MLP`` is a description (sizes, activation, keep probabilities) and holds no arrays at all: parameters, masks and
caches go in and out of its methods. So two forward passes may stand before one backward pass, a network can be shared
between threads, and a stack of replicates is one call.

    logits, caches = net.forward(theta, x, weight_mask=mask, unit_masks=net.sample_unit_masks(rng, (len(x),)))
    gradients = net.backward(dlogits, caches)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from numpynet.equations.activations import Activation, relu
from numpynet.equations.checks import (
    check_binary,
    check_finite,
    check_floating,
    check_one_keep_prob,
    check_precision,
)
from numpynet.initializers import Initializer, glorot_normal
from numpynet.layer_rules import LayerRule, plain_layer, unit_dropout
from numpynet.parameters import Layout, Parameters

UnitMasks = Sequence["np.ndarray | None"]


class MLPCache(NamedTuple):
    """The caches of one forward pass, layer by layer."""

    linear: tuple[Any, ...]  # one for each affine layer, a LinearCache unless its rule says otherwise
    activation: tuple[Any, ...]  # one for each hidden layer
    inputs: tuple[np.ndarray, ...]  # (..., N, d_in) what each layer was given, before any mask
    layout: Layout
    logits_shape: tuple[int, ...]  # (..., N, d_L)
    dtype: np.dtype  # of the logits


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron: affine layers with both masks, an activation after each but the last.

    Parameters
    ----------
    sizes : (d_0, d_1, ..., d_L): inputs, hidden layers, outputs
    activation : of the hidden layers
    keep_prob : the probability that a unit stays while training. One number serves the hidden layers, and the inputs
        are left alone; a sequence gives one for the input of each of the L layers, ``None`` where there is no dropout.
    rules : one rule of ``numpynet.layer_rules`` for each of the L layers, ``None`` where there is no noise, for other
        kinds of dropout; then ``keep_prob`` is not used. What is said of unit masks below holds of any rule's noise.

    Examples
    --------
    >>> net = MLP((784, 300, 100, 10), keep_prob=0.8)
    >>> net.keep_probs, net.layout.size
    ((None, 0.8, 0.8), 266610)
    >>> theta = net.init(np.random.default_rng(0))
    >>> logits, caches = net.forward(theta, np.ones((5, 784), np.float32))
    >>> logits.shape
    (5, 10)
    """

    sizes: tuple[int, ...]
    activation: Activation = relu
    keep_prob: float | Sequence[float | None] = 1.0
    rules: Sequence[LayerRule | None] | None = None

    def __post_init__(self) -> None:
        sizes = tuple(self.sizes)
        if len(sizes) < 2 or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in sizes):
            raise ValueError(
                f"sizes must be at least two positive integers such as (784, 300, 100, 10), got {self.sizes!r}"
            )
        object.__setattr__(self, "sizes", tuple(int(n) for n in sizes))
        if not isinstance(self.activation, Activation):
            raise TypeError(
                f"activation must be an Activation such as numpynet.equations.relu, got {type(self.activation).__name__}"
            )
        if isinstance(self.keep_prob, (list, tuple, np.ndarray)):
            object.__setattr__(self, "keep_prob", tuple(self.keep_prob))
        _ = self.keep_probs  # raises if it is wrong
        if self.rules is not None:
            if isinstance(self.rules, LayerRule):
                raise TypeError(
                    f"rules must be a sequence with a LayerRule or None for each of {self.n_layers} layers, got one LayerRule"
                )
            object.__setattr__(self, "rules", tuple(self.rules))
            self._check_rules()

    @cached_property
    def layout(self) -> Layout:
        """Where W1, b1, W2, b2, ... stand in the vector."""
        return Layout.of_sizes(self.sizes)

    @property
    def n_layers(self) -> int:
        """L, the number of affine layers."""
        return len(self.sizes) - 1

    @cached_property
    def keep_probs(self) -> tuple[float | None, ...]:
        """The keep probability at the input of each layer; None where there is no dropout, or another rule."""
        if self.rules is not None:
            return (None,) * self.n_layers
        if isinstance(self.keep_prob, tuple):
            if len(self.keep_prob) != self.n_layers:
                raise ValueError(
                    f"keep_prob has {len(self.keep_prob)} entries, but one for the input of each of {self.n_layers} layers "
                    "is needed (None where there is no dropout), or one number for the hidden layers"
                )
            return tuple(None if q is None else check_one_keep_prob(q) for q in self.keep_prob)
        return (None,) + (check_one_keep_prob(self.keep_prob),) * (self.n_layers - 1)

    @property
    def has_dropout(self) -> bool:
        """Whether any layer has noise that changes something."""
        if self.rules is not None:
            return any(rule.sample is not None for rule in self.layer_rules)
        return any(q is not None and q < 1 for q in self.keep_probs)

    @cached_property
    def layer_rules(self) -> tuple[LayerRule, ...]:
        """The rule of each layer; by default unit dropout with its keep probability, or none."""
        if self.rules is not None:
            return tuple(plain_layer() if rule is None else rule for rule in self.rules)
        return tuple(plain_layer() if q is None else unit_dropout(q) for q in self.keep_probs)

    def init(
        self,
        rng: np.random.Generator | Sequence[np.random.Generator],
        *,
        initializer: Initializer = glorot_normal,
        dtype: Any = np.float32,
    ) -> Parameters:
        """Draw initial parameters: weights from the initializer, layer by layer, biases 0.

        Parameters
        ----------
        rng : a generator, or a list of R of them for a stack of R replicates, each equal to the single draw
        initializer : see ``numpynet.initializers``
        dtype : of the parameters

        Returns
        -------
        Parameters : of one net, or of a stack where there are several generators

        Examples
        --------
        >>> net = MLP((4, 3, 2))
        >>> net.init([np.random.default_rng(r) for r in range(5)])["W1"].shape
        (5, 4, 3)
        """
        if isinstance(rng, (list, tuple)):
            return Parameters(
                np.stack([self.init(r, initializer=initializer, dtype=dtype).vector for r in rng]), self.layout
            )
        theta = Parameters.zeros(self.layout, dtype=dtype)
        for name in self.layout.weight_names:
            d_in, d_out = self.layout.shapes[name]
            theta[name] = initializer(rng, d_in, d_out, dtype=dtype)
        return theta

    def sample_unit_masks(
        self, rng: np.random.Generator, batch_shape: tuple[int, ...], *, dtype: Any = np.float32
    ) -> list[np.ndarray | None]:
        """Draw a fresh unit mask for the input of each layer that has dropout.   Equation (D1)

        Parameters
        ----------
        rng : numpy.random.Generator
        batch_shape : (N,) for a mask for each of N examples, (1,) for one mask shared by the batch, (T, N) for T
            Monte-Carlo samples, ...
        dtype : that of the activations

        Returns
        -------
        A list with an array (*batch_shape, d_in) or None for each layer. Where keep_prob is 1 the numbers are drawn
        all the same, so that streams stay aligned; where it is None nothing is drawn.

        Raises
        ------
        TypeError
            batch_shape is no tuple, or is empty.

        Examples
        --------
        >>> net = MLP((4, 3, 2), keep_prob=0.8)
        >>> [None if d is None else d.shape for d in net.sample_unit_masks(np.random.default_rng(0), (5,))]
        [None, (5, 3)]
        """
        if not isinstance(batch_shape, (tuple, list)) or not batch_shape:
            raise TypeError(f"batch_shape must be a tuple such as (64,), got {batch_shape!r}")
        return [
            None if rule.sample is None else rule.sample(rng, tuple(batch_shape), d_in, d_out, dtype=dtype)
            for rule, d_in, d_out in zip(self.layer_rules, self.sizes, self.sizes[1:])
        ]

    def forward(
        self,
        theta: Parameters,
        x: np.ndarray,
        *,
        weight_mask: Parameters | None = None,
        unit_masks: UnitMasks | None = None,
        trusted: bool = False,
        masked: bool = False,
    ) -> tuple[np.ndarray, MLPCache]:
        """Run the layers: h_0 = x, z_l = (D_l * h_(l-1) / q_l) (M_l * W_l) + b_l, h_l = phi(z_l).   Equation (B1)

        Parameters
        ----------
        theta : the parameters
        x : (..., N, d_0), in the dtype of theta
        weight_mask : binary, of the form of theta (the entries at biases are not used), or None for a dense net
        unit_masks : a mask or None for the input of each layer, or None for evaluation. A mask (1, d) is shared.
        trusted : True skips the scan of x and of the masks for entries that do not belong there. The training loop
            sets it, because it has checked its data and draws its masks itself.
        masked : True says that theta is M * theta already, as it is all through a training. Then a layer that knows the
            mask only as M * W does not multiply again: the logits are the same bits, and ``backward`` gives the
            dense gradient of Equation (B22), which the caller has to mask.

        Returns
        -------
        logits : (..., N, d_L)
        caches : MLPCache, for ``backward``

        Raises
        ------
        TypeError, ValueError
            x is not floating, not finite or of the wrong shape or dtype; a mask is not binary or does not fit.

        Examples
        --------
        >>> net = MLP((2, 3, 1))
        >>> net.forward(net.init(np.random.default_rng(0)), np.zeros((5, 2), np.float32))[0].shape
        (5, 1)
        """
        self._check(theta, x, weight_mask, unit_masks)
        if not trusted:
            check_finite(x, "x")
            self._check_masks(weight_mask, unit_masks)
        h = x
        inputs, layer_caches, activation_caches = [], [], []
        for layer, rule in enumerate(self.layer_rules, start=1):
            z, cache = rule.forward(
                h,
                theta[f"W{layer}"],
                theta[f"b{layer}"],
                None if unit_masks is None else unit_masks[layer - 1],
                weight_mask=None
                if weight_mask is None or (masked and rule.mask_in_product)
                else weight_mask[f"W{layer}"],
            )
            inputs.append(h)
            layer_caches.append(cache)
            if layer < self.n_layers:
                out = {"out": z} if rule.own_arrays and self.activation.takes_out else {}
                h, cache = self.activation.forward(z, **out)  # (..., N, d_l)
                activation_caches.append(cache)
        return z, MLPCache(tuple(layer_caches), tuple(activation_caches), tuple(inputs), self.layout, z.shape, z.dtype)

    def backward(self, dlogits: np.ndarray, caches: MLPCache, *, out: Parameters | None = None) -> Parameters:
        """Run the layers backwards and return the gradients, in the form of theta.   Equations (B3) to (B6)

        Parameters
        ----------
        dlogits : (..., N, d_L) dL/dlogits
        caches : of the forward pass, which it must match
        out : Parameters to write into, or None for new ones

        Returns
        -------
        gradients : exactly 0 at pruned weights. A stack of inputs gives a stack of gradients; nothing is summed over
            leading axes.

        Raises
        ------
        ValueError
            dlogits or out does not fit, or the caches are those of another network.

        Examples
        --------
        >>> net = MLP((2, 3, 1))
        >>> logits, caches = net.forward(net.init(np.random.default_rng(0)), np.ones((5, 2), np.float32))
        >>> net.backward(np.ones_like(logits), caches)["b2"]                       # a sum over 5 examples
        array([5.], dtype=float32)
        """
        if caches.layout != self.layout:
            raise ValueError("caches come from another network: pass those of this network's forward pass")
        if dlogits.shape != caches.logits_shape:
            raise ValueError(
                f"dlogits has shape {dlogits.shape}, but the logits of these caches have {caches.logits_shape}"
            )
        if out is not None and (
            not isinstance(out, Parameters)
            or out.layout != self.layout
            or out.replicates != dlogits.shape[:-2]
            or out.dtype != np.result_type(dlogits, caches.dtype)
        ):
            raise ValueError(
                f"out must be Parameters of this network, with replicates {dlogits.shape[:-2]} and dtype "
                f"{np.result_type(dlogits, caches.dtype)}, got {out!r}"
            )
        if out is None:
            vector = np.empty((*dlogits.shape[:-2], self.layout.size), np.result_type(dlogits, caches.dtype))
            out = Parameters(vector, self.layout)
        dz = dlogits
        for layer in range(self.n_layers, 0, -1):
            rule = self.layer_rules[layer - 1]
            dh, _, _ = rule.backward(
                dz, caches.linear[layer - 1], need_dx=layer > 1, out=(out[f"W{layer}"], out[f"b{layer}"])
            )
            if layer > 1:
                own = rule.own_arrays and self.activation.takes_out and dh.dtype == caches.dtype
                dz = self.activation.backward(dh, caches.activation[layer - 2], **({"out": dh} if own else {}))
        return out

    def predict(self, theta: Parameters, x: np.ndarray, *, weight_mask: Parameters | None = None) -> np.ndarray:
        """Return the class with the largest logit for each example, in evaluation (no unit mask, no scale).

        Parameters
        ----------
        theta : parameters, of one net or of a stack
        x : (..., N, d_0)
        weight_mask : None for a dense net

        Returns
        -------
        (..., N) integers

        Examples
        --------
        >>> net = MLP((2, 3, 4))
        >>> net.predict(net.init(np.random.default_rng(0)), np.zeros((2, 2), np.float32))
        array([0, 0])
        """
        logits, _ = self.forward(theta, x, weight_mask=weight_mask)
        return logits.argmax(axis=-1)

    def _check(self, theta, x, weight_mask, unit_masks) -> None:
        """Raise unless everything has the form that this network needs; costs nothing that grows with the data."""
        for name, value in (("theta", theta), ("weight_mask", weight_mask)):
            if value is None and name == "weight_mask":
                continue
            if not isinstance(value, Parameters):
                raise TypeError(f"{name} must be Parameters of this network, got {type(value).__name__}")
            if value.layout != self.layout:
                raise ValueError(f"{name} belongs to another network: {value.layout}, but this one has {self.layout}")
        check_floating(x, "x")
        if x.ndim < 2 or x.shape[-1] != self.sizes[0]:
            raise ValueError(
                f"x has shape {x.shape}, but (..., N, {self.sizes[0]}) is needed: N examples of {self.sizes[0]} numbers. "
                "Flatten images first; a single example is x[None, :]."
            )
        if x.shape[-2] == 0:
            raise ValueError(f"x has shape {x.shape}: it holds no example")
        check_precision(theta=theta.vector, x=x)
        if unit_masks is not None and len(unit_masks) != self.n_layers:
            raise ValueError(
                f"unit_masks has {len(unit_masks)} entries, but one for the input of each of {self.n_layers} layers is "
                "needed (None where there is no dropout)"
            )
        if unit_masks is not None:
            for layer, (unit_mask, rule) in enumerate(zip(unit_masks, self.layer_rules), start=1):
                if unit_mask is not None and rule.sample is None:
                    raise ValueError(
                        f"unit_masks has a mask for the input of layer {layer}, but this network has no keep_prob there; "
                        f"give the MLP keep_prob as a sequence of {self.n_layers} numbers"
                    )

    def _check_masks(self, weight_mask: Parameters | None, unit_masks: UnitMasks | None) -> None:
        """Raise unless all masks are binary; complex ones are exempt: they carry the step of a derivative check."""
        for layer, (unit_mask, rule) in enumerate(zip(unit_masks or (), self.layer_rules), start=1):
            if unit_mask is not None and rule.binary and getattr(unit_mask, "dtype", np.dtype(bool)).kind != "c":
                check_binary(unit_mask, f"unit_masks[{layer - 1}]")
        if weight_mask is not None and weight_mask.dtype.kind != "c":
            check_binary(weight_mask.vector, "weight_mask")

    def _check_rules(self) -> None:
        """Raise unless there is one rule for each layer, and the activation suits them."""
        if len(self.rules) != self.n_layers:
            raise ValueError(
                f"rules has {len(self.rules)} entries, but one for each of {self.n_layers} layers is needed "
                "(None where there is no noise)"
            )
        if self.keep_prob != 1.0:
            raise ValueError(
                f"keep_prob is {self.keep_prob!r} and rules are given: say it in the rules, with unit_dropout(keep_prob)"
            )
        for layer, rule in enumerate(self.rules, start=1):
            if rule is not None and not isinstance(rule, LayerRule):
                raise TypeError(
                    f"rules[{layer - 1}] must be a LayerRule such as unit_dropout(0.8), or None, got {type(rule).__name__}"
                )
            if rule is not None and rule.on_outputs and (layer == self.n_layers or not self.activation.zero_at_zero):
                raise ValueError(
                    f"rules[{layer - 1}], {rule.name}, silences units of layer {layer}: that needs an activation behind "
                    "it that is 0 at 0, so neither sigmoid nor the output layer (dropout never acts on logits)"
                )
