//! One operation: a view, or an instruction.

use super::lower::{Body, Lower, label};
use super::place::{Sink, is_at};
use super::view::{Value, View};
use super::{Apply, Matrix, Operand, PANEL, Product, RowOp, Rows, Site, Table, UNIFORM, Work, primitive, site};
use crate::error::Error;
use g2_ir::op::Op;
use g2_ir::{Dim, NodeId, Region};

/// Elements of a sum that one thread adds up.
const LONG_SUM: usize = 1 << 14;

impl Lower<'_> {
    /// Lowers one node whose arguments are done; gives its value. A loop has none of its own.
    pub(super) fn op(&mut self, body: &mut Body<'_>, id: NodeId) -> Result<Option<Value>, Error> {
        let node = body.graph.node(id);
        let name = label(node);
        if let Op::Loop(lp) = &node.op {
            let mut args = Vec::with_capacity(node.args.len());
            for &arg in &node.args {
                args.push(self.value(body, arg)?);
            }
            self.lower_loop(body, id, lp, args)?;
            return Ok(None);
        }
        if let Op::Get(out) = &node.op {
            let result = body.results.get(&(node.args[0], *out)).cloned();
            return result
                .map(Some)
                .ok_or_else(|| self.defect(format!("{out:?} of node {} is missing", node.args[0].0)));
        }
        let mut x = Vec::with_capacity(node.args.len());
        for &arg in &node.args {
            x.push(self.tensor(body, arg)?);
        }
        let size = |dim: &Dim| {
            dim.eval(&body.context.sizes).map_err(|message| Error::Size { what: format!("`{name}`: {dim}"), message })
        };
        let view = match &node.op {
            Op::Arg(_) | Op::Loop(_) | Op::Get(_) => {
                return Err(self.defect(format!("node {} ({name}) is not an operation", id.0)));
            }
            Op::Const(value) => self.constant(*value),
            Op::Size(dim) => {
                let value = size(dim)? as f64;
                self.constant(value)
            }
            Op::Broadcast { axes, .. } => {
                let sizes = self.shape(body, id)?;
                x.remove(0).broadcast(sizes, axes)
            }
            Op::Slice { axis, start, len } => {
                let (start, len, whole) = (size(start)?, size(len)?, x[0].sizes[*axis]);
                if start + len > whole {
                    let message = format!("{start} + {len} is beyond the {whole} there are along axis {axis}");
                    return Err(Error::Size { what: format!("`{name}`"), message });
                }
                x.remove(0).slice(*axis, start, len)
            }
            Op::Reverse { axis } => x.remove(0).reverse(*axis),
            Op::Transpose => x.remove(0).transpose(),
            Op::Insert { axis } => x.remove(0).insert(*axis),
            Op::Remove { axis } => x.remove(0).remove(*axis),
            Op::Map(map) => {
                let out = self.destination(body, id)?;
                self.apply(&name, Table::Primitives, primitive(*map), &x, &[], vec![], std::slice::from_ref(&out));
                out
            }
            Op::Uniform { site: gate, per, .. } => {
                let out = self.destination(body, id)?;
                let noise = vec![site(*gate, *per, body.context.layer, body.context.depth.checked_sub(1))];
                self.apply(&name, Table::Primitives, UNIFORM, &[], &[], noise, std::slice::from_ref(&out));
                out
            }
            Op::Pad { axis, start, len: _ } => {
                let (out, start) = (self.destination(body, id)?, size(start)?);
                let (own, whole) = (x[0].sizes[*axis], out.sizes[*axis]);
                if start + own > whole {
                    let message = format!("{start} + {own} is beyond the {whole} there are along axis {axis}");
                    return Err(Error::Size { what: format!("`{name}`"), message });
                }
                let after = start + own;
                self.fill(&name, &out.clone().slice(*axis, 0, start), 0.0);
                self.fill(&name, &out.clone().slice(*axis, after, whole - after), 0.0);
                self.copy(&name, &x[0], &out.clone().slice(*axis, start, own), false);
                out
            }
            Op::Concat { axis } => {
                let out = self.destination(body, id)?;
                let mut start = 0;
                for part in &x {
                    let len = part.sizes[*axis];
                    let to = out.clone().slice(*axis, start, len);
                    if !is_at(part, &to) {
                        self.copy(&name, part, &to, false);
                    }
                    start += len;
                }
                out
            }
            Op::Sum { axes } => {
                let out = self.destination(body, id)?;
                self.sum(&name, &x[0], axes, &out);
                out
            }
            Op::MatMul { ta, tb, fold } => {
                let out = self.destination(body, id)?;
                let add = matches!(body.sinks[id.index()], Sink::Add(_));
                let a = if *ta { x[0].clone().transpose() } else { x[0].clone() };
                let b = if *tb { x[1].clone().transpose() } else { x[1].clone() };
                let product = self.product(&a, &b, &out, *fold, add);
                self.push(&name, Work::Product(product));
                out
            }
            Op::Gather => {
                let out = self.destination(body, id)?;
                let table = self.rowable(&name, &x[0]);
                let (rows, width) = (table.sizes[0], table.sizes[1]);
                self.limit(&x[1], rows, &name);
                let mut space = Rows::by_last_axis(&[out.clone(), x[1].clone().repeat_inner(width)]);
                let outer = vec![0; space.sizes.len()];
                space.operands.push(Operand { at: table.at, outer, inner: 1 });
                let op = RowOp::Gather { table_row: table.strides[0], table_rows: rows };
                self.push(&name, Work::Rowwise { op, rows: space });
                out
            }
            Op::ScatterAdd { .. } => {
                let out = self.destination(body, id)?;
                let rows = self.rowable(&name, &x[1]);
                self.limit(&x[0], out.sizes[0], &name);
                let width = out.sizes[1];
                let space = Rows::by_last_axis(&[rows, x[0].clone().repeat_inner(width)]);
                self.push(&name, Work::ScatterAdd { rows: space, table: out.clone() });
                out
            }
            Op::Softmax | Op::LogSoftmax => {
                let out = self.destination(body, id)?;
                let mut views = vec![self.rowable(&name, &x[0]), out.clone()];
                let op = match (&node.op, x.get(1)) {
                    (Op::LogSoftmax, _) => RowOp::LogSoftmax,
                    (_, None) => RowOp::Softmax,
                    (_, Some(mask)) => {
                        views.push(self.rowable(&name, mask));
                        RowOp::MaskedSoftmax
                    }
                };
                self.push(&name, Work::Rowwise { op, rows: Rows::by_last_axis(&views) });
                out
            }
            Op::CrossEntropy | Op::Pick => {
                let out = self.destination(body, id)?;
                let logits = self.rowable(&name, &x[0]);
                let len = logits.sizes[logits.rank() - 1];
                self.limit(&x[1], len, &name);
                let rows = [logits, out.clone().repeat_inner(len), x[1].clone().repeat_inner(len)];
                let op = if node.op == Op::Pick { RowOp::Pick } else { RowOp::CrossEntropy };
                self.push(&name, Work::Rowwise { op, rows: Rows::by_last_axis(&rows) });
                out
            }
            Op::CrossEntropyGrad => {
                let out = self.destination(body, id)?;
                let logits = self.rowable(&name, &x[0]);
                let len = logits.sizes[logits.rank() - 1];
                self.limit(&x[1], len, &name);
                let rows = [logits, out.clone(), x[1].clone().repeat_inner(len), x[2].clone().repeat_inner(len)];
                self.push(&name, Work::Rowwise { op: RowOp::CrossEntropyGrad, rows: Rows::by_last_axis(&rows) });
                out
            }
            Op::PickGrad { .. } => {
                let out = self.destination(body, id)?;
                let len = out.sizes[out.rank() - 1];
                self.limit(&x[0], len, &name);
                let rows = [out.clone(), x[0].clone().repeat_inner(len), x[1].clone().repeat_inner(len)];
                self.push(&name, Work::Rowwise { op: RowOp::PickGrad, rows: Rows::by_last_axis(&rows) });
                out
            }
            Op::LengthMask { .. } => {
                let out = self.destination(body, id)?;
                self.limit(&x[0], out.sizes[0] + 1, &name);
                let lengths = x[0].clone().broadcast(out.sizes.clone(), &[1]);
                let rows = Rows::by_last_axis(&[out.clone(), lengths]);
                self.push(&name, Work::Rowwise { op: RowOp::LengthMask, rows });
                out
            }
        };
        Ok(Some(Value::Tensor(view)))
    }

    /// Lowers a fused region.
    pub(super) fn region(&mut self, body: &mut Body<'_>, region: &Region) -> Result<(), Error> {
        let tensors = |lower: &Self, body: &Body<'_>, ids: &[NodeId]| -> Result<Vec<View>, Error> {
            ids.iter().map(|&id| lower.tensor(body, id)).collect()
        };
        let lanes = tensors(self, body, &region.lanes)?;
        let scalars = tensors(self, body, &region.scalars)?;
        let mut outputs = Vec::with_capacity(region.outputs.len());
        for &id in &region.outputs {
            outputs.push(self.destination(body, id)?);
        }
        let mut noise: Vec<Site> = Vec::with_capacity(region.noise.len());
        for &id in &region.noise {
            let Op::Uniform { site: gate, per, .. } = body.graph.node(id).op else {
                return Err(self.defect(format!("node {} in a region's noise draws none", id.0)));
            };
            noise.push(site(gate, per, body.context.layer, body.context.depth.checked_sub(1)));
        }
        let names: Vec<String> = region.outputs.iter().map(|&id| label(body.graph.node(id))).collect();
        self.apply(&names.join(", "), Table::Regions, region.kernel, &lanes, &scalars, noise, &outputs);
        for (&id, view) in region.outputs.iter().zip(outputs) {
            body.values[id.index()] = Some(Value::Tensor(view));
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a kernel has this many parts")]
    fn apply(
        &mut self,
        name: &str,
        table: Table,
        kernel: usize,
        lanes: &[View],
        scalars: &[View],
        noise: Vec<Site>,
        outputs: &[View],
    ) {
        // Outputs first, so that an empty list of lanes still has a shape.
        let views = [outputs, lanes, scalars].concat();
        let constant = outputs.len() + lanes.len()..views.len();
        let mut rows = Rows::merged(&views, constant);
        rows.operands.rotate_left(outputs.len());
        let (lanes, scalars) = (lanes.len(), scalars.len());
        self.push(name, Work::Apply(Apply { table, kernel, lanes, scalars, noise, rows }));
    }

    fn sum(&mut self, name: &str, x: &View, axes: &[usize], out: &View) {
        let part = |keep: bool| {
            let chosen = |axis: &usize| axes.contains(axis) != keep;
            View {
                at: x.at.clone(),
                sizes: (0..x.rank()).filter(chosen).map(|axis| x.sizes[axis]).collect(),
                strides: (0..x.rank()).filter(chosen).map(|axis| x.strides[axis]).collect(),
            }
        };
        let kept = Rows::merged(&[part(true), out.clone()], 0..0);
        let summed = Rows::merged(&[part(false)], 0..0);
        let is_one_row = summed.sizes.is_empty() && summed.operands[0].inner == 1;
        if out.elements() == 1 && is_one_row && summed.len >= 4 * LONG_SUM {
            return self.long_sum(name, &part(false), summed.len, out);
        }
        self.push(name, Work::Sum { kept, summed });
    }

    /// One sum of so many elements that threads share it: sums of parts, then the sum of these.
    fn long_sum(&mut self, name: &str, x: &View, len: usize, out: &View) {
        let (parts, rest) = (len / LONG_SUM, len % LONG_SUM);
        let sums = self.fresh(name, vec![parts + 1]);
        let matrix = View { at: x.at.clone(), sizes: vec![parts, LONG_SUM], strides: vec![LONG_SUM as isize, 1] };
        self.sum(name, &matrix, &[1], &sums.clone().slice(0, 0, parts));
        let mut tail = View { at: x.at.clone(), sizes: vec![rest], strides: vec![1] };
        tail.at.offset += (parts * LONG_SUM) as isize;
        self.sum(name, &tail, &[0], &sums.clone().slice(0, parts, 1).remove(0));
        let to = View { sizes: Vec::new(), strides: Vec::new(), ..out.clone() };
        self.sum(name, &sums, &[0], &to);
    }

    /// `c = a b`: batch axes go into the rows of one larger product, or into what is summed over, where they can.
    fn product(&mut self, a: &View, b: &View, c: &View, fold: bool, add: bool) -> Product {
        let (lead_a, lead_b) = (a.rank() - 2, b.rank() - 2);
        let lead = lead_a.max(lead_b);
        let batch = if lead_a > 0 { a.sizes[..lead].to_vec() } else { b.sizes[..lead].to_vec() };
        let matrix = |view: &View, own: usize| Matrix {
            at: view.at.clone(),
            batch: if own == 0 { vec![0; lead] } else { view.strides[..own].to_vec() },
            row: view.strides[view.rank() - 2],
            column: view.strides[view.rank() - 1],
        };
        let mut p = Product {
            batch,
            m: a.sizes[lead_a],
            k: a.sizes[lead_a + 1],
            n: b.sizes[lead_b + 1],
            a: matrix(a, lead_a),
            b: matrix(b, lead_b),
            c: matrix(c, if fold { 0 } else { lead }),
            fold,
            add,
            packed: None,
        };
        while let (Some(&size), Some(&sa), Some(&sb), Some(&sc)) =
            (p.batch.last(), p.a.batch.last(), p.b.batch.last(), p.c.batch.last())
        {
            let follows = |outer: isize, len: usize, inner: isize| len == 1 || outer == inner * len as isize;
            if size == 1 {
                // Nothing to merge.
            } else if fold && follows(sa, p.k, p.a.column) && follows(sb, p.k, p.b.row) {
                if p.k == 1 {
                    (p.a.column, p.b.row) = (sa, sb);
                }
                p.k *= size;
            } else if !fold && sb == 0 && follows(sa, p.m, p.a.row) && follows(sc, p.m, p.c.row) {
                if p.m == 1 {
                    (p.a.row, p.c.row) = (sa, sc);
                }
                p.m *= size;
            } else {
                break;
            }
            p.batch.pop();
            [&mut p.a, &mut p.b, &mut p.c].into_iter().for_each(|m| {
                m.batch.pop();
            });
        }
        if p.fold && p.batch.contains(&0) {
            // A sum of no products.
            p.k = 0;
            p.batch.clear();
            [&mut p.a, &mut p.b, &mut p.c].into_iter().for_each(|m| m.batch.clear());
        }
        if p.batch.is_empty() {
            p.fold = false;
        }
        // Panels are wide: a narrow result is computed transposed. Factors change places, so no bit does.
        if p.n < PANEL / 2 && p.m > p.n {
            let turned = |m: Matrix| Matrix { row: m.column, column: m.row, ..m };
            p = Product { m: p.n, n: p.m, a: turned(p.b), b: turned(p.a), c: turned(p.c), ..p };
        }
        p
    }

    /// The view itself, or a copy of it with neighbours along its last axis side by side.
    fn rowable(&mut self, name: &str, view: &View) -> View {
        if view.inner_stride() == 1 {
            return view.clone();
        }
        let copy = self.fresh(name, view.sizes.clone());
        self.copy(name, view, &copy, false);
        copy
    }

    /// Notes that the indices at `view` have to be below `limit`.
    fn limit(&mut self, view: &View, limit: usize, what: &str) {
        let entry = self.limits.entry(view.at.buffer).or_insert_with(|| (limit, what.to_owned()));
        if limit < entry.0 {
            *entry = (limit, what.to_owned());
        }
    }
}
