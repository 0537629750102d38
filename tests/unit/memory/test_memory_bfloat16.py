"""M's compiled losses: kernels bit for bit, gradients against float64 and torch's autograd."""

import numpy as np
import pytest
import torch
from small_memory import BFLOAT16, FLOAT32

from world_models.fast.memory import arithmetic, cell_kernels
from world_models.fast.memory import mixture_kernels as kernels
from world_models.memory.data import Batch
from world_models.memory.dropout import mask
from world_models.memory.loss import Counts, Targets, losses
from world_models.memory.network import MDNRNN
from world_models.memory.objective import objective
from world_models.memory.sizes import Sizes

ALL = Sizes(5, 2, 24, 3, restart=True, reward_head=True, end_head=True)
PLAIN = Sizes(6, 3, 16, 5, restart=False, reward_head=False, end_head=False)


def batch(sizes, steps=30, members=7, seed=0):
    """Episodes start, end and are masked all over the place."""
    g = torch.Generator().manual_seed(seed)

    def flags(share):
        return (torch.rand(steps, members, generator=g) < share).float()

    z = torch.randn(steps, members, sizes.z_size, generator=g)
    actions = torch.randn(steps, members, sizes.action_size, generator=g)
    targets = Targets(
        torch.randn(steps, members, sizes.z_size, generator=g),
        flags(0.9),
        flags(0.2),
        flags(0.8),
        torch.randn(steps, members, generator=g),
        flags(0.7),
    )
    return Batch(z, actions, flags(0.15), targets, Counts.of(targets))


def network(sizes, seed=0):
    torch.manual_seed(seed)
    m = MDNRNN(sizes)
    for parameter in m.parameters():  # biases that are 0 would hide mistakes
        parameter.data += 0.1 * torch.randn_like(parameter)
    return m


def gradients(m, found):
    return dict(
        zip(dict(m.named_parameters()), torch.autograd.grad(found, m.parameters()), strict=True)
    )


def exact(m, given, restart_weight):
    """Losses and gradients in float64, by torch alone."""
    wide = MDNRNN(m.sizes).double()
    wide.load_state_dict(m.state_dict())
    z, actions, starts, targets = (
        given.z.double(),
        given.actions.double(),
        given.starts.double(),
        Targets(*(x.double() for x in given.targets)),
    )
    mask = None if given.mask is None else given.mask.double()
    said, _ = wide.sequence(z, actions, starts, wide.initial_state(z.shape[1]), mask)
    found = losses(said, targets, given.counts, restart_weight)
    return found, gradients(wide, found.total)


def off(ours, expected):
    return float((ours.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("sizes", [ALL, PLAIN], ids=["all heads", "mixture only"])
@pytest.mark.parametrize(("members", "dropout"), [(1, 0), (7, 0), (120, 0), (7, 0.5)])
def test_losses_and_gradients_equal_float64_s_but_for_rounding(sizes, members, dropout):
    m, given = network(sizes), batch(sizes, members=members)
    if dropout:
        hidden = mask(np.random.default_rng(1), dropout, members, sizes.hidden_size)
        given = given._replace(mask=torch.from_numpy(hidden))
    expected, wanted = exact(m, given, 10.0)
    for choice, rtol, bound in ((BFLOAT16, 5e-3, 0.012), (FLOAT32, 1e-5, 2e-5)):
        # A bfloat16 is rounded by up to 0.4 %.
        with objective(m, choice, 10.0) as losses_of:
            found, _ = losses_of(given)
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours.double(), theirs, rtol=rtol, atol=1e-6)
            for name, gradient in gradients(m, found.total).items():
                assert off(gradient, wanted[name]) < bound, name


def test_a_scaled_loss_has_scaled_gradients():
    m, given = network(ALL), batch(ALL)
    with objective(m, BFLOAT16, 10.0) as losses_of:
        once = gradients(m, losses_of(given)[0].total)
        thrice = gradients(m, 3 * losses_of(given)[0].total)
    for name in once:
        assert off(thrice[name], 3 * once[name].double()) < 0.005


def test_bits_do_not_depend_on_threads():
    """Three lanes; torch and numba on one thread and on many."""
    m, given = network(ALL), batch(ALL, steps=40, members=130)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        with objective(m, BFLOAT16, 10.0) as losses_of:
            found, _ = losses_of(given)
            results.append([*found, *gradients(m, found.total).values()])
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("choice", [FLOAT32, BFLOAT16])
def test_equal_numbers_of_threads_give_equal_bits(choice):
    """In float32 torch splits a product's sums among its threads: another number, other bits."""
    m, given = network(ALL), batch(ALL, steps=40, members=130)
    before, results = torch.get_num_threads(), []
    for threads in (3, 3):
        torch.set_num_threads(threads)
        with objective(m, choice, 10.0) as losses_of:
            found, _ = losses_of(given)
            results.append([*found, *gradients(m, found.total).values()])
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_memory_that_is_used_again_changes_nothing():
    m = network(ALL)
    with objective(m, BFLOAT16, 10.0) as fast, objective(m, BFLOAT16, 10.0) as other:
        gradients(m, fast(batch(ALL, seed=1))[0].total)
        one, two = (gradients(m, f(batch(ALL))[0].total) for f in (fast, other))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_pass_between_forward_and_backward_is_refused():
    with objective(network(ALL), BFLOAT16, 10.0) as losses_of:
        total = losses_of(batch(ALL))[0].total
        losses_of(batch(ALL))
        with pytest.raises(RuntimeError, match="before this one's backward"):
            total.backward()


@pytest.mark.parametrize("choice", [FLOAT32, BFLOAT16])
def test_masked_steps_have_no_influence(choice):
    m, given = network(ALL), batch(ALL)
    t = given.targets
    spoilt = t._replace(
        z=torch.where(t.z_mask[..., None] == 0, torch.nan, t.z),
        ends=torch.where(t.end_mask == 0, 1.0, t.ends),
        rewards=torch.where(t.reward_mask == 0, 1e30, t.rewards),
    )
    results = []
    for targets in (t, spoilt):
        with objective(m, choice, 10.0) as losses_of:
            total = losses_of(given._replace(targets=targets))[0].total
            results.append([total, *gradients(m, total).values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def bits(x):
    return x.contiguous().view(torch.int16).numpy().view(np.uint16)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rounds_as_torch_does():
    values = torch.cat(
        [drawn(5000), torch.arange(2**16 - 2**7).int().mul(2**15).view(torch.float32)]
    )
    values = torch.cat([values, torch.tensor([torch.inf, -torch.inf, 0.0, -0.0, 3.4e38, 1e-42])])
    values = values[~values.isnan()]
    found = torch.empty(len(values), dtype=torch.bfloat16)
    arithmetic.narrow_row(values.numpy(), bits(found))
    assert torch.equal(found, values.bfloat16())
    arithmetic.narrow_row(np.full(1, np.nan, np.float32), bits(found[:1]))
    assert found[0].isnan()


def test_the_mixture_s_bits_are_the_float32_kernel_s_rounded():
    size, mixtures, rows = 6, 5, 53
    out = drawn(rows, 3 * mixtures * size + 2).bfloat16()
    y, scale = drawn(rows, size, seed=1), drawn(rows, seed=2).abs()
    scale[::3] = 0
    wide = out[:, :-2].float().contiguous()
    gradient = torch.empty_like(wide)
    expected = kernels.mixture_nll(wide.numpy(), y.numpy(), scale.numpy(), gradient.numpy())
    last = out[:, -2:].clone()
    found = kernels.mixture_nll_bfloat16(bits(out), y.numpy(), scale.numpy())
    assert found == pytest.approx(expected, rel=1e-12)
    assert torch.equal(out[:, :-2], gradient.bfloat16())
    assert torch.equal(out[:, -2:], last)


def test_the_cell_equals_autograd_s():
    """One step in the middle of three, for the second and third of four members."""
    hidden, keep = 9, torch.ones(4, 4)
    keep[1, 1] = keep[2, 2] = 0
    g, x, h = drawn(3, 4, 36).bfloat16(), drawn(4, 4, 14).bfloat16(), drawn(3, 4, 10).bfloat16()
    c, dh, back, dc = (
        drawn(*s, seed=i) for i, s in enumerate([(4, 4, 9), (3, 4, 9), (2, 9), (2, 9)])
    )
    dh, back = dh.bfloat16(), back.bfloat16()
    sums, old = g[1, 1:3].float().requires_grad_(), c[1, 1:3].clone().requires_grad_()
    i, f, u, o = sums.chunk(4, dim=1)
    new = f.sigmoid() * keep[1, 1:3, None] * old + i.sigmoid() * u.tanh()
    out = o.sigmoid() * new.tanh()
    onward = out * keep[2, 1:3, None]
    loss = (out * dh[1, 1:3]).sum() + (onward * back).sum() + (new * dc).sum()
    dsums, dold = torch.autograd.grad(loss, (sums, old))
    cells, before = c.numpy(), [x.clone() for x in (g, x, h)]
    cell_kernels.cell_forward_bfloat16(1, 1, 3, bits(g), keep.numpy(), cells, bits(x), bits(h))
    tolerance = {"rtol": 2**-8, "atol": 1e-6}
    torch.testing.assert_close(c[2, 1:3], new.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(h[1, 1:3, 1:].float(), out.detach(), **tolerance)
    torch.testing.assert_close(x[2, 1:3, 5:].float(), onward.detach(), **tolerance)
    arrays = (bits(g), keep.numpy(), cells, bits(dh), bits(back), dc.numpy())
    cell_kernels.cell_backward_bfloat16(1, 1, *arrays)
    torch.testing.assert_close(g[1, 1:3].float(), dsums, **tolerance)
    torch.testing.assert_close(dc, dold, rtol=1e-4, atol=1e-6)
    for now, then, region in zip((g, x, h), before, ((1, 0), (2, 5), (1, 1)), strict=True):
        step, column = region
        now[step, 1:3, column:] = then[step, 1:3, column:]
        assert torch.equal(now, then)  # nothing else was written
    assert hidden == dc.shape[1]


def test_parts_are_added_in_their_order():
    parts = drawn(5, 7, 11).bfloat16()
    total = np.empty((3, 4), np.float32)
    cell_kernels.sum_bfloat16(bits(parts), 2, 6, total)
    expected = parts[0, 2:5, 6:10].float()
    for part in parts[1:]:
        expected += part[2:5, 6:10].float()
    assert np.array_equal(total, expected.numpy())
