//! Results go straight to where they are needed: into a concatenation, the next slot of a scan's carry, a gradient.
//!
//! Decided before any instruction is written, from the last node to the first. What cannot be written in place is
//! copied when it is done, so a decision here is never needed for correctness.

use super::Home;
use super::lower::{Body, Lower, Target, label};
use super::view::{Value, View};
use crate::error::Error;
use g2_ir::graph::Phase;
use g2_ir::op::Op;
use g2_ir::{LoopKind, LoopOut, NodeId};

/// Where a node's result has to be written.
#[derive(Clone, Debug)]
pub(super) enum Sink {
    /// A buffer of its own.
    Free,
    /// Here.
    Write(Value),
    /// Added here.
    Add(View),
}

impl Lower<'_> {
    pub(super) fn place(&mut self, body: &mut Body<'_>) -> Result<(), Error> {
        for k in 0..body.targets.len() {
            let id = body.graph.outputs[k];
            body.placed[k] = match body.targets[k].clone() {
                Target::Dead | Target::Anywhere => false,
                Target::Write(to) => place(body, id, &to, self.is_gradient(&to)),
                Target::Add(Value::Tensor(to)) => place_sum(body, id, &to),
                Target::Add(Value::Family(_)) => false,
            };
        }
        for id in body.graph.ids().rev() {
            let node = body.graph.node(id);
            let Op::Concat { axis } = node.op else { continue };
            if !body.needed[id.index()] {
                continue;
            }
            let whole = match &body.sinks[id.index()] {
                Sink::Write(Value::Tensor(view)) => view.clone(),
                Sink::Free | Sink::Write(Value::Family(_)) | Sink::Add(_) => {
                    let shape = self.shape(body, id)?;
                    self.fresh(&label(node), shape)
                }
            };
            body.sinks[id.index()] = Sink::Write(Value::Tensor(whole.clone()));
            let mut start = 0;
            for &arg in &node.args {
                let len = self.shape(body, arg)?[axis];
                let part = Value::Tensor(whole.clone().slice(axis, start, len));
                let gradient = self.is_gradient(&part);
                place(body, arg, &part, gradient);
                start += len;
            }
        }
        Ok(())
    }

    pub(super) fn is_gradient(&self, value: &Value) -> bool {
        let home = |view: &View| self.buffers[view.at.buffer.index()].home;
        value.views().iter().any(|view| matches!(home(view), Home::Gradient { .. }))
    }

    /// Where node `id`'s result goes.
    pub(super) fn destination(&mut self, body: &Body<'_>, id: NodeId) -> Result<View, Error> {
        match &body.sinks[id.index()] {
            Sink::Write(Value::Tensor(view)) | Sink::Add(view) => Ok(view.clone()),
            Sink::Free | Sink::Write(Value::Family(_)) => {
                let shape = self.shape(body, id)?;
                Ok(self.fresh(&label(body.graph.node(id)), shape))
            }
        }
    }
}

/// Whether `part` of the concatenation at `whole` is already there.
pub(super) fn is_at(value: &View, place: &View) -> bool {
    let strides = value.strides.iter().zip(&place.strides);
    // Along an axis of length 1 a stride means nothing.
    let same = value.sizes.iter().zip(strides).all(|(&size, (a, b))| size == 1 || a == b);
    value.at == place.at && value.sizes == place.sizes && same
}

/// Tries to have node `id` written to `to`.
fn place(body: &mut Body<'_>, id: NodeId, to: &Value, gradient: bool) -> bool {
    let node = body.graph.node(id);
    if gradient && body.split && node.phase == Phase::Forward {
        // Forward runs without gradients.
        return false;
    }
    let free = matches!(body.sinks[id.index()], Sink::Free);
    let strided = to.views().iter().all(|view| view.inner_stride() == 1);
    let fits = match &node.op {
        Op::Map(_) | Op::Uniform { .. } | Op::MatMul { .. } | Op::Sum { .. } | Op::Pad { .. } | Op::Concat { .. } => {
            true
        }
        Op::Pick | Op::CrossEntropy => true,
        Op::Gather
        | Op::ScatterAdd { .. }
        | Op::PickGrad { .. }
        | Op::Softmax
        | Op::LogSoftmax
        | Op::CrossEntropyGrad
        | Op::LengthMask { .. } => strided,
        Op::Insert { axis } => return place(body, node.args[0], &to.clone().map(|v| v.remove(*axis)), gradient),
        Op::Remove { axis } => return place(body, node.args[0], &to.clone().map(|v| v.insert(*axis)), gradient),
        Op::Reverse { axis } => return place(body, node.args[0], &to.clone().map(|v| v.reverse(*axis)), gradient),
        Op::Transpose => return place(body, node.args[0], &to.clone().map(View::transpose), gradient),
        Op::Get(out) => {
            let key = (node.args[0], *out);
            let direct = match (&body.graph.loop_at(key.0).kind, out) {
                (_, LoopOut::Y(_) | LoopOut::Acc(_)) | (LoopKind::Stack { .. }, LoopOut::Final(_)) => true,
                (_, LoopOut::Before(_) | LoopOut::After(_)) | (LoopKind::Scan { .. }, LoopOut::Final(_)) => false,
            };
            if !direct || body.loop_sinks.contains_key(&key) {
                return false;
            }
            body.loop_sinks.insert(key, to.clone());
            return true;
        }
        Op::Arg(_) | Op::Const(_) | Op::Size(_) | Op::Broadcast { .. } | Op::Slice { .. } | Op::Loop(_) => false,
    };
    if free && fits {
        body.sinks[id.index()] = Sink::Write(to.clone());
    }
    free && fits
}

/// Tries to have node `id`, which nobody else reads, added to `to`.
fn place_sum(body: &mut Body<'_>, id: NodeId, to: &View) -> bool {
    let node = body.graph.node(id);
    let free = matches!(body.sinks[id.index()], Sink::Free) && body.uses[id.index()] == 1;
    match &node.op {
        Op::Transpose if free => place_sum(body, node.args[0], &to.clone().transpose()),
        Op::MatMul { .. } if free => {
            body.sinks[id.index()] = Sink::Add(to.clone());
            true
        }
        _ => false,
    }
}
