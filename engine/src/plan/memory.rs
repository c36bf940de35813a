//! Lifetimes to offsets: first fit over intervals of instructions.

use super::view::BufferId;
use super::{Address, Buffer, Home, Operand, Step, Work};

/// Offsets are multiples of this many elements: 64 bytes of f32.
const ALIGNMENT: usize = 16;

/// `elements`, so that what follows is aligned.
pub(crate) fn aligned(elements: usize) -> usize {
    elements.next_multiple_of(ALIGNMENT)
}

impl Work {
    /// Calls `see` with every address that the instruction touches, its body's included.
    pub(crate) fn each_address<'a>(&'a self, see: &mut dyn FnMut(&'a Address)) {
        let mut operands = |operands: &'a [Operand]| operands.iter().for_each(|o| see(&o.at));
        match self {
            Work::Apply(apply) => operands(&apply.rows.operands),
            Work::Copy { rows, .. } | Work::Fill { rows, .. } | Work::Rowwise { rows, .. } => operands(&rows.operands),
            Work::Product(p) => {
                [&p.a, &p.b, &p.c].into_iter().for_each(|m| see(&m.at));
                p.packed.iter().for_each(&mut *see);
            }
            Work::Pack { matrix, to, .. } => [&matrix.at, to].into_iter().for_each(see),
            Work::Sum { kept, summed } => {
                operands(&kept.operands);
                operands(&summed.operands);
            }
            Work::ScatterAdd { rows, table } => {
                operands(&rows.operands);
                see(&table.at);
            }
            Work::Scan { body, .. } => body.iter().for_each(|step| step.work.each_address(see)),
        }
    }
}

/// Gives every buffer of `scope` that has no place yet one in an arena of its own, from its lifetime over `steps`;
/// returns the arena's size. `offset_of` makes an offset a home.
pub(super) fn allocate(buffers: &mut [Buffer], scope: usize, steps: &[&Step], home: impl Fn(usize) -> Home) -> usize {
    for (position, step) in steps.iter().enumerate() {
        step.work.each_address(&mut |at| {
            let owner = owner(buffers, at.buffer, scope);
            if let Some(id) = owner {
                let life = &mut buffers[id.index()].life;
                let first = life.map_or(position, |(first, _)| first);
                *life = Some((first, position));
            }
        });
    }
    let mut waiting: Vec<usize> = (0..buffers.len())
        .filter(|&id| buffers[id].scope == scope && matches!(buffers[id].home, Home::Arena { .. }))
        .filter(|&id| buffers[id].life.is_some())
        .collect();
    // The large ones first, so that small ones fill the gaps; ties in the order of making.
    waiting.sort_by_key(|&id| (std::cmp::Reverse(buffers[id].elements), id));
    let mut placed: Vec<(usize, usize, (usize, usize))> = Vec::new();
    let mut total = 0;
    for id in waiting {
        let (size, life) = (aligned(buffers[id].elements), buffers[id].life.unwrap_or((0, 0)));
        let mut start = 0;
        for &(from, to, other) in &placed {
            let meets = life.0 <= other.1 && other.0 <= life.1;
            if meets && from < start + size && start < to {
                start = to;
            }
        }
        // `placed` is sorted by start, so one pass finds the first gap.
        let position = placed.partition_point(|&(from, ..)| from <= start);
        placed.insert(position, (start, start + size, life));
        total = total.max(start + size);
        buffers[id].home = home(start);
    }
    total
}

/// The buffer of `scope` in which `id` is, if any.
fn owner(buffers: &[Buffer], id: BufferId, scope: usize) -> Option<BufferId> {
    let mut id = id;
    loop {
        let buffer = &buffers[id.index()];
        match buffer.home {
            Home::Arena { .. } | Home::Inside { .. } if buffer.scope == scope => return Some(id),
            Home::Inside { parent, .. } => id = parent,
            Home::Arena { .. }
            | Home::Kept { .. }
            | Home::Parameter { .. }
            | Home::Gradient { .. }
            | Home::Index { .. } => return None,
        }
    }
}
