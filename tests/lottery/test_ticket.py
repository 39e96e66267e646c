"""A ticket as a record and as a file: what goes in comes out, what is wrong is refused, and it trains as in the hunt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.data import load_digits
from numpynet.equations.activations import Activation, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.selu import selu
from numpynet.initializers import he_uniform
from numpynet.layer_rules import gaussian_dropout
from numpynet.lottery import ticket as ticket_module
from numpynet.lottery.rewinding import Late, rewind_point, rewound
from numpynet.lottery.ticket import Finding, Ticket, load_ticket, save_ticket, verify_ticket
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import alive_counts, magnitude_mask, weight_density
from numpynet.seeding import stream
from numpynet.storage import StorageError, load_arrays, save_arrays
from numpynet.training import begin, evaluate, train
from tests.lottery.small import NET, PLAN, mask_of, run, same, split_of, theta_of, trained
from tests.strategies import densities, seeds


def ticket_of(seed: int = 0, **changes) -> Ticket:
    """A ticket that knows where it comes from."""
    mask = mask_of(seed)
    origin = {"seed": seed, "initializer": "he_uniform", "alive": alive_counts(mask), "density": weight_density(mask)}
    theta_0 = NET.init(stream(seed, "init"), initializer=he_uniform, dtype=np.float64)
    return Ticket(**{"net": NET, "theta_0": theta_0, "weight_mask": mask, "origin": origin, **changes})


# ---- round trip --------------------------------------------------------------------------------------------------------


@given(
    seeds,
    st.sampled_from([relu, leaky_relu, tanh, sigmoid, selu]),
    st.sampled_from([1.0, 0.8, (0.9, None, 0.7)]),
    st.sampled_from(["float32", "float64"]),
    densities,
    st.integers(0, 500),
)
def test_what_is_saved_comes_back_to_the_bit(tmp_path_factory, seed, activation, keep_prob, dtype, density, step):
    path = tmp_path_factory.mktemp("tickets") / "ticket.npz"
    net = MLP(NET.sizes, activation, keep_prob)
    ticket = Ticket(net, theta_of(seed).astype(dtype), mask_of(seed, density), {"seed": seed, "why": ["a", 1.5]}, step)
    save_ticket(path, ticket)
    again = load_ticket(path, net)
    assert again.net == net and again.origin == ticket.origin and again.step == step
    assert same(again.theta_0, ticket.theta_0) and same(again.weight_mask, ticket.weight_mask)
    assert again.theta_0.dtype == dtype and str(again) == str(ticket)
    content = path.read_bytes()
    save_ticket(path, again)
    assert path.read_bytes() == content


def test_density_is_the_same_after_loading(tmp_path):
    """A34: neither of another set of weights, nor 0 again."""
    ticket = ticket_of()
    save_ticket(tmp_path / "t.npz", ticket)
    assert weight_density(load_ticket(tmp_path / "t.npz").weight_mask) == weight_density(ticket.weight_mask) < 1


def test_the_mask_takes_a_bit_for_each_weight(tmp_path):
    net = MLP((784, 300, 100, 10))
    ticket = Ticket(net, net.init(np.random.default_rng(0)), Parameters.ones(net.layout))
    save_ticket(tmp_path / "t.npz", ticket)
    assert (tmp_path / "t.npz").stat().st_size < 4 * net.layout.size + net.layout.n_weights / 8 + 4000


def test_the_ticket_says_what_it_is():
    assert str(ticket_of()).startswith("ticket of 5-8-6-3 tanh: ") and "hidden units on a path" in str(ticket_of())
    assert ", at step 7: " in str(ticket_of(step=7))


# ---- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L4")
@given(seeds)
def test_a_ticket_trains_as_in_the_hunt(tmp_path_factory, seed):
    path, split, ticket = tmp_path_factory.mktemp("tickets") / "t.npz", split_of(0), ticket_of(seed)
    expected = trained(seed, split, theta_0=ticket.theta_0, weight_mask=ticket.weight_mask)
    before = ticket.theta_0.copy()
    save_ticket(path, ticket)
    for one in (ticket, load_ticket(path)):
        assert same(run(one.begin(PLAN, split, seed=seed), split).theta, expected.theta)
        assert same(one.theta_0, before)


@pytest.mark.equation("L14")
def test_a_ticket_of_step_k_goes_on_at_step_k():
    split, mask = split_of(0), mask_of(0)
    state = begin(NET, PLAN, split, seed=3)
    run(state, split, until=5)
    point = rewind_point(state)
    ticket = Ticket(NET, point.theta, mask, {"seed": 3}, step=5)
    hunted = rewound(Late(5), NET, PLAN, split, seed=3, weight_mask=mask, point=point)
    again = run(ticket.begin(PLAN, split, seed=3), split)
    assert again.history[0].step == 5 and same(again.theta, run(hunted, split).theta)


def test_a_list_of_seeds_trains_it_as_often():
    state = ticket_of().begin(PLAN, split_of(0), seed=[1, 2, 3])
    assert state.theta.replicates == (3,)
    run(state, split_of(0))
    assert not same(state.theta.replicate(0), state.theta.replicate(1))


def test_a_ticket_does_not_change_with_what_it_was_made_of():
    theta_0, mask, origin = theta_of(0), mask_of(0), {"seed": 1}
    ticket = Ticket(NET, theta_0, mask, origin)
    kept = ticket.theta_0.copy(), ticket.weight_mask.copy()
    theta_0.vector[...] = 7
    mask.vector[...] = 1
    origin["seed"] = 2
    assert same(ticket.theta_0, kept[0]) and same(ticket.weight_mask, kept[1]) and ticket.origin == {"seed": 1}
    with pytest.raises(ValueError, match="read-only"):
        ticket.theta_0["W1"][...] = 0


# ---- verification ------------------------------------------------------------------------------------------------------


def test_a_ticket_that_is_what_it_says_passes():
    findings = verify_ticket(ticket_of(5))
    assert [f.passed for f in findings] == [True] * 5 and all(isinstance(f, Finding) for f in findings)


WRONG = {
    "another seed": ({"seed": 1}, "theta_0 is what its seed draws"),
    "another initializer": ({"initializer": "he_normal"}, "theta_0 is what its seed draws"),
    "no initializer of that name": ({"initializer": "magic"}, "theta_0 is what its seed draws"),
    "no seed": ({"seed": -1}, "theta_0 is what its seed draws"),
    "another density": ({"density": 0.5}, "density"),
    "other counts": ({"alive": {"W1": 1, "W2": 2, "W3": 3}}, "weights of each layer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_ticket_that_is_not_what_it_says_is_found_out(name):
    changes, what = WRONG[name]
    ticket = ticket_of(0)
    findings = verify_ticket(Ticket(NET, ticket.theta_0, ticket.weight_mask, {**ticket.origin, **changes}))
    assert [f.what for f in findings if not f.passed] == [what]


def test_one_changed_bit_of_the_start_is_found_and_counted():
    ticket = ticket_of(0)
    theta_0 = ticket.theta_0.copy()
    theta_0["W2"][1, 1] = np.nextafter(theta_0["W2"][1, 1], 1)
    failed = [f for f in verify_ticket(Ticket(NET, theta_0, ticket.weight_mask, ticket.origin)) if not f.passed]
    assert len(failed) == 1 and failed[0].detail.startswith("1 of ")


def test_what_cannot_learn_is_found():
    mask = mask_of(0)
    mask["W2"][...] = 0
    theta_0 = theta_of(0)
    theta_0["W1"][mask["W1"] == 1] = 0
    failed = {f.what for f in verify_ticket(Ticket(NET, theta_0, mask)) if not f.passed}
    assert failed == {"a path from input to output", "living weights that start at exactly 0"}


# ---- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"net": NET.sizes}, TypeError, "net must be an MLP"),
        ({"theta_0": theta_of(0).vector}, ValueError, "theta_0 must be Parameters"),
        ({"theta_0": theta_of(0, (2,))}, ValueError, r"theta_0 holds replicates \(2,\)"),
        ({"theta_0": theta_of(0) * np.nan}, ValueError, "theta_0"),
        ({"weight_mask": Parameters.ones(MLP((5, 3)).layout)}, ValueError, "weight_mask belongs to another network"),
        ({"weight_mask": mask_of(0, replicates=(2,))}, ValueError, "weight_mask holds replicates"),
        ({"weight_mask": theta_of(0)}, ValueError, "weight_mask of W1"),
        ({"step": -1}, ValueError, "step is -1"),
        ({"step": 1.0}, ValueError, "step is 1.0"),
    ],
)
def test_what_is_no_ticket_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        ticket_of(**changes)


def saved(tmp_path, **changes):
    """A ticket file whose metadata or arrays have been changed by somebody who can seal files."""
    path = tmp_path / "t.npz"
    save_ticket(path, ticket_of())
    arrays, metadata = load_arrays(path, kind="lottery ticket")
    for name, value in changes.items():
        target = arrays if name in arrays or name.startswith("mask.") else metadata
        target[name] = value
    save_arrays(path, {n: a for n, a in arrays.items() if a is not None}, kind="lottery ticket", metadata=metadata)
    return path


def test_a_file_of_another_version_is_refused(tmp_path, monkeypatch):
    with pytest.raises(StorageError, match=r"ticket version 2, this numpynet reads 1; update numpynet"):
        load_ticket(saved(tmp_path, ticket_version=2))
    with pytest.raises(StorageError, match="ticket version None"):
        load_ticket(saved(tmp_path, ticket_version=None))
    save_ticket(tmp_path / "old.npz", ticket_of())
    monkeypatch.setattr(ticket_module, "VERSION", 2)
    with pytest.raises(StorageError, match="ticket version 1, this numpynet reads 2"):
        load_ticket(tmp_path / "old.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "swish"}, "its activation is 'swish', and known are relu"),
        ({"sizes": [5, 8, 3]}, "its content is not what a ticket holds"),
        ({"sizes": "5-8"}, "its content is not what a ticket holds"),
        ({"alive": {"W1": 1}}, "its mask keeps"),
        ({"mask.W1": None}, "its content is not what a ticket holds"),
        ({"theta_0": np.full(NET.layout.size, np.inf)}, "its content is not what a ticket holds"),
        ({"step": -3}, "its content is not what a ticket holds"),
        ({"keep_prob": 0}, "its content is not what a ticket holds"),
    ],
)
def test_a_file_with_other_content_is_refused(tmp_path, changes, message):
    with pytest.raises(StorageError, match=message):
        load_ticket(saved(tmp_path, **changes))


def test_files_that_are_no_tickets_are_refused(tmp_path):
    save_arrays(tmp_path / "a.npz", {"theta": np.ones(3)}, kind="training checkpoint")
    with pytest.raises(StorageError, match="holds 'training checkpoint', and 'lottery ticket' is needed"):
        load_ticket(tmp_path / "a.npz")
    with pytest.raises(StorageError, match="does not exist"):
        load_ticket(tmp_path / "none.npz")
    save_ticket(tmp_path / "t.npz", ticket_of())
    content = bytearray((tmp_path / "t.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        load_ticket(tmp_path / "t.npz")


def test_a_ticket_of_another_network_is_refused(tmp_path):
    save_ticket(tmp_path / "t.npz", ticket_of())
    with pytest.raises(StorageError, match=r"of a network \(5, 8, 6, 3\) tanh, and one of \(5, 8, 3\) relu is needed"):
        load_ticket(tmp_path / "t.npz", MLP((5, 8, 3)))
    assert load_ticket(tmp_path / "t.npz", NET).net == NET


def test_what_a_file_cannot_hold_is_refused_before_it_is_touched(tmp_path):
    own = Activation("relu", tanh.forward, tanh.backward, True, False)
    rules = MLP(NET.sizes, rules=(None, gaussian_dropout(0.8), None))
    for net, message in ((MLP(NET.sizes, own), "the activation 'relu' is not one of"), (rules, "rules of its own")):
        with pytest.raises(TypeError, match=message):
            save_ticket(tmp_path / "t.npz", ticket_of(net=net))
    with pytest.raises(TypeError, match="origin"):
        save_ticket(tmp_path / "t.npz", ticket_of(origin={"when": object()}))
    assert not list(tmp_path.iterdir())


def test_a_ticket_found_on_the_digits_can_be_passed_on(tmp_path):
    """Train, prune half, save; somebody else loads, verifies and trains it: it learns."""
    data, net = load_digits(), MLP((64, 40, 10))
    plan = TrainingPlan(epochs=5, optimizer=Adam(), schedule=0.005)
    theta_0 = net.init(stream(7, "init"))
    state = begin(net, plan, data.train, seed=7)
    run_plain(state, data.train)
    mask = magnitude_mask(state.theta, rate=0.5)
    save_ticket(tmp_path / "t.npz", Ticket(net, theta_0, mask, {"seed": 7, "initializer": "glorot_normal"}))
    ticket = load_ticket(tmp_path / "t.npz")
    assert all(f.passed for f in verify_ticket(ticket))
    again = ticket.begin(plan, data.train, seed=7)
    run_plain(again, data.train)
    assert evaluate(net, again.theta, data.test, weight_mask=again.weight_mask)[1] > 0.9


def run_plain(state, split):
    for _ in train(state, split):
        pass
