"""M's network: golden parts, and its LSTM against PyTorch's and against autograd."""

import pytest
import torch
from torch import nn

from world_models.fast.memory import cell
from world_models.fast.memory.cell import lstm
from world_models.memory.network import MDNRNN, Sizes, State

CARRACING = Sizes(32, 3, 256, 5, restart=False, reward_head=False, end_head=False)
TAKECOVER = Sizes(64, 1, 512, 5, restart=True, reward_head=False, end_head=False)
SMALL = Sizes(4, 2, 6, 3, restart=True, reward_head=True, end_head=False)


def arguments(dtype=torch.float32, steps=40, batch=3, inputs=5, hidden=8, starts=True, seed=0):
    """Random inputs of ``lstm``; 40 steps span three chunks of the backward pass."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=dtype).requires_grad_()

    keep = torch.ones(steps, batch, dtype=dtype)
    if starts:
        keep[0, 0] = keep[steps // 2, 1] = keep[steps - 1, 2] = 0
    return [
        draw(steps, batch, inputs),
        keep,
        draw(batch, hidden),
        draw(batch, hidden),
        draw(4 * hidden, inputs),
        draw(4 * hidden, hidden),
        draw(4 * hidden),
    ]


def by_cells(x, keep, h, c, w_x, w_h, bias):
    """The textbook: PyTorch's own LSTMCell, one Python step a time step."""
    outputs = []
    zero = torch.zeros_like(bias)
    for t in range(len(x)):
        state = (h * keep[t, :, None], c * keep[t, :, None])
        h, c = torch.lstm_cell(x[t], state, w_x, w_h, bias, zero)
        outputs.append(h)
    return torch.stack(outputs), c


@pytest.mark.parametrize(
    ("sizes", "lstm_weights", "head"),
    [(CARRACING, 299_008, 123_360), (TAKECOVER, 1_185_792, 492_993)],
    ids=["carracing", "takecover"],
)
def test_parts_have_the_paper_s_sizes(sizes, lstm_weights, head):
    network = MDNRNN(sizes)
    assert network.parts() == {"lstm": lstm_weights, "head": head}
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == lstm_weights + head


def test_forget_gates_start_open_and_other_biases_at_zero():
    bias = MDNRNN(CARRACING).bias.detach().view(4, 256)
    assert (bias[1] == 1).all()
    assert (bias[[0, 2, 3]] == 0).all()


def test_lstm_equals_pytorch_s_over_a_sequence():
    x, keep, h, c, w_x, w_h, bias = arguments(starts=False)
    theirs = nn.LSTM(5, 8)
    state = {
        "weight_ih_l0": w_x,
        "weight_hh_l0": w_h,
        "bias_ih_l0": bias,
        "bias_hh_l0": torch.zeros_like(bias),
    }
    theirs.load_state_dict({name: value.detach() for name, value in state.items()})
    expected, (_, last) = theirs(x, (h[None], c[None]))
    ours, cell_state = lstm(x, keep, h, c, w_x, w_h, bias, torch.float32)
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(cell_state, last[0], atol=2e-6, rtol=1e-5)


def test_gradients_equal_finite_differences():
    given = arguments(torch.float64, steps=5, batch=3, inputs=2, hidden=3)
    assert torch.autograd.gradcheck(lambda *a: lstm(*a, torch.float64), given)


@pytest.mark.parametrize("starts", [True, False])
def test_compiled_cell_s_gradients_equal_autograd_s(starts):
    weights = torch.randn(40, 3, 8, generator=torch.Generator().manual_seed(1))
    gradients = []
    for run in (lambda *a: lstm(*a, torch.float32), by_cells):
        given = arguments(starts=starts)
        h, c = run(*given)
        ((h * weights).sum() + c.square().sum()).backward()
        gradients.append([g.grad for g in given if g.requires_grad] + [h.detach(), c.detach()])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=2e-4)


def test_compiled_cell_equals_torch_operations(monkeypatch):
    given = arguments(seed=3)
    fast = lstm(*given, torch.float32)
    monkeypatch.setattr(cell, "has_kernels", lambda _: False)
    slow = lstm(*given, torch.float32)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)


def test_bfloat16_products_stay_near_float32():
    given = [x.detach() * (0.3 if i else 1.0) for i, x in enumerate(arguments(starts=False))]
    given[1] = torch.ones(40, 3)
    exact, _ = lstm(*given, torch.float32)
    rounded, _ = lstm(*given, torch.bfloat16)
    assert rounded.dtype == torch.float32
    error = (exact - rounded).abs().max()
    assert 0 < error < 0.03


def inputs(sizes, steps=7, batch=3):
    g = torch.Generator().manual_seed(5)
    z = torch.randn(steps, batch, sizes.z_size, generator=g)
    actions = torch.rand(steps, batch, sizes.action_size, generator=g)
    starts = torch.zeros(steps, batch)
    starts[0] = 1
    starts[4, 1] = 1
    return z, actions, starts


@pytest.mark.parametrize("sizes", [CARRACING, TAKECOVER, SMALL])
def test_steps_equal_the_sequence(sizes):
    torch.manual_seed(0)
    network = MDNRNN(sizes).eval()
    z, actions, starts = inputs(sizes)
    whole, last, _ = network.sequence(z, actions, starts, network.initial_state(3))
    state = network.initial_state(3)
    for t in range(len(z)):
        step, state = network.step(z[t], actions[t], starts[t], state)
        for ours, theirs in zip(step, whole, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs[t], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [CARRACING, SMALL])
def test_a_start_forgets_what_came_before(sizes):
    """After a start at step 4, member 1 remembers nothing of steps 0 to 3; member 0 does."""
    torch.manual_seed(0)
    network = MDNRNN(sizes).eval()
    z, actions, starts = inputs(sizes)
    before, _, _ = network.sequence(z, actions, starts, network.initial_state(3))
    z = z.clone()
    z[:4] += 1
    noise = State(torch.randn(3, sizes.hidden_size), torch.randn(3, sizes.hidden_size))
    after, _, _ = network.sequence(z, actions, starts, noise)
    assert torch.equal(before.mixture[4:, 1], after.mixture[4:, 1])
    assert not torch.allclose(before.mixture[4:, 0], after.mixture[4:, 0])


def test_the_restart_flag_is_an_input_in_doom_only():
    for sizes, equal in ((CARRACING, True), (TAKECOVER, False)):
        torch.manual_seed(0)
        network = MDNRNN(sizes).eval()
        z, actions, starts = inputs(sizes)
        first, _ = network.step(z[0], actions[0], starts[0], network.initial_state(3))
        later, _ = network.step(z[0], actions[0], 0 * starts[0], network.initial_state(3))
        assert torch.equal(first.mixture, later.mixture) == equal
