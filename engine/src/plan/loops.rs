//! Loops: a scan stays one, over slots of memory; a stack is unrolled, each layer with sizes of its own.

use super::lower::{Body, Context, Lower, Target, label, set_meetings};
use super::memory::allocate;
use super::view::{Pace, Value, View, Walk};
use super::{Home, Matrix, PANEL, Step, Work};
use crate::error::Error;
use g2_ir::{Loop, LoopKind, LoopOut, NodeId};

/// The memory of one carried tensor.
///
/// A trajectory has T + 1 slots: the initial value and each step's, in the order of time, so that the values before
/// and after each step are both contiguous `[T, ..]` tensors. If nobody reads those, two slots take turns.
struct Carry {
    initial: View,
    /// What a step finds, and where it leaves the next.
    before: View,
    after: View,
    last: View,
    /// Stacked along time.
    all_before: Option<View>,
    all_after: Option<View>,
}

impl Lower<'_> {
    pub(super) fn lower_loop(
        &mut self,
        body: &mut Body<'_>,
        id: NodeId,
        lp: &Loop,
        args: Vec<Value>,
    ) -> Result<(), Error> {
        match &lp.kind {
            LoopKind::Scan { time } => {
                let what = || format!("the number of steps `{time}`");
                let count = time.eval(&body.context.sizes).map_err(|message| Error::Size { what: what(), message })?;
                self.scan(body, id, lp, args, count)
            }
            LoopKind::Stack { name, .. } => self.stack(body, id, lp, args, name),
        }
    }

    fn scan(
        &mut self,
        body: &mut Body<'_>,
        id: NodeId,
        lp: &Loop,
        mut args: Vec<Value>,
        count: usize,
    ) -> Result<(), Error> {
        let name = label(body.graph.node(id));
        let depth = body.context.depth;
        let wanted = |out: LoopOut| body.gets.contains(&(id, out));
        let context = Context { depth: depth + 1, ..body.context.clone() };
        let mut results = Vec::new();
        let mut targets = Vec::new();

        let initials = args.split_off(lp.consts + lp.steps);
        let steps = args.split_off(lp.consts);
        let mut inner = args;
        let stacked_steps = steps.clone();
        inner.extend(steps.into_iter().map(|value| value.map(|view| view.each_step(depth, lp.reversed))));
        for (k, initial) in initials.into_iter().enumerate() {
            let trajectory = wanted(LoopOut::Before(k)) || wanted(LoopOut::After(k));
            let carry_name = match &lp.body.node(lp.body.outputs[k]).name {
                Some(name) => name.clone(),
                None => format!("{name} carry {k}"),
            };
            let carries: Vec<Carry> = initial
                .views()
                .iter()
                .map(|view| self.carry(&carry_name, view, trajectory, count, depth, lp.reversed))
                .collect();
            for (from, carry) in initial.views().iter().zip(&carries) {
                self.copy(&format!("{carry_name} at first"), from, &carry.initial, false);
            }
            let whole = |pick: &dyn Fn(&Carry) -> View| like(&initial, carries.iter().map(pick).collect());
            inner.push(whole(&|c| c.before.clone()));
            targets.push(Target::Write(whole(&|c| c.after.clone())));
            results.push((LoopOut::Final(k), whole(&|c| c.last.clone())));
            if trajectory {
                results.push((LoopOut::Before(k), whole(&|c| c.all_before.clone().unwrap_or(c.last.clone()))));
                results.push((LoopOut::After(k), whole(&|c| c.all_after.clone().unwrap_or(c.last.clone()))));
            }
        }
        for k in 0..lp.ys {
            let out = LoopOut::Y(k);
            if !wanted(out) {
                targets.push(Target::Dead);
                continue;
            }
            // A per-step argument that comes out as it went in is the argument.
            let node = lp.body.outputs[lp.output_index(out)];
            let same = lp.body.args[lp.consts..].iter().position(|&arg| arg == node);
            let same = same.and_then(|step| stacked_steps.get(step));
            let place = match (body.loop_sinks.get(&(id, out)), same) {
                (Some(place), _) => place.clone(),
                (None, Some(argument)) => {
                    targets.push(Target::Dead);
                    results.push((out, argument.clone()));
                    continue;
                }
                (None, None) => self.stacked(lp, out, count, &context)?,
            };
            targets.push(Target::Write(place.clone().map(|view| view.each_step(depth, lp.reversed))));
            results.push((out, place));
        }
        for k in 0..lp.accs {
            let out = LoopOut::Acc(k);
            if !wanted(out) {
                targets.push(Target::Dead);
                continue;
            }
            let place = self.accumulator(body, id, lp, out, &context)?;
            place.views().iter().for_each(|view| self.fill(&format!("{name} sum {k}"), view, 0.0));
            targets.push(Target::Add(place.clone()));
            results.push((out, place));
        }

        let scratch = self.fresh(&format!("{name} scratch"), vec![0]).at.buffer;
        let outer_steps = std::mem::take(&mut self.steps);
        self.scopes += 1;
        let outer_scope = std::mem::replace(&mut self.scope, self.scopes);
        self.graph(&lp.body, inner, targets, context)?;
        let mut steps = std::mem::replace(&mut self.steps, outer_steps);
        let inner_scope = std::mem::replace(&mut self.scope, outer_scope);
        if count > 1 {
            self.pack_before(&mut steps, depth, inner_scope);
        }
        set_meetings(&mut steps, true);
        let all: Vec<&Step> = steps.iter().collect();
        let inside = |offset| Home::Inside { parent: scratch, offset };
        let elements = allocate(&mut self.buffers, inner_scope, &all, inside);
        self.buffers[scratch.index()].elements = elements;
        self.push(&name, Work::Scan { depth, count, reversed: lp.reversed, body: steps });
        body.results.extend(results.into_iter().map(|(out, value)| ((id, out), value)));
        Ok(())
    }

    /// Second operands of products that are the same at each step are packed once, before the scan.
    fn pack_before(&mut self, steps: &mut [Step], depth: usize, inner_scope: usize) {
        for step in steps {
            let Work::Product(p) = &mut step.work else { continue };
            let moves = p.b.at.walks.iter().any(|walk| walk.depth == depth);
            let is_inner = self.buffers[p.b.at.buffer.index()].scope == inner_scope;
            let one_matrix = p.b.batch.iter().all(|&stride| stride == 0);
            if moves || is_inner || !one_matrix || p.m * p.n * p.k == 0 {
                continue;
            }
            let to = self.fresh(&format!("{} packed", step.label), vec![p.n.div_ceil(PANEL) * PANEL * p.k]).at;
            let matrix = Matrix { batch: Vec::new(), ..p.b.clone() };
            self.push(&step.label, Work::Pack { matrix, k: p.k, n: p.n, to: to.clone() });
            p.packed = Some(to);
        }
    }

    fn carry(
        &mut self,
        name: &str,
        initial: &View,
        trajectory: bool,
        count: usize,
        depth: usize,
        reversed: bool,
    ) -> Carry {
        let slots = if trajectory { count + 1 } else { 2 };
        let sizes = [&[slots], initial.sizes.as_slice()].concat();
        let slot_size: usize = initial.sizes.iter().product();
        let all = self.fresh(name, sizes);
        let slot = |k: usize| all.clone().slice(0, k, 1).remove(0);
        if !trajectory {
            let turn = |pace: Pace| {
                let mut view = slot(0);
                view.at.walks.push(Walk { depth, stride: slot_size as isize, pace });
                view
            };
            return Carry {
                initial: slot(0),
                before: turn(Pace::Parity),
                after: turn(Pace::OtherParity),
                last: slot(count % 2),
                all_before: None,
                all_after: None,
            };
        }
        let (first, second) = (all.clone().slice(0, 0, count), all.clone().slice(0, 1, count));
        let (before, after) = if reversed { (second, first) } else { (first, second) };
        Carry {
            initial: slot(if reversed { count } else { 0 }),
            before: before.clone().each_step(depth, reversed),
            after: after.clone().each_step(depth, reversed),
            last: slot(if reversed { 0 } else { count }),
            all_before: Some(before),
            all_after: Some(after),
        }
    }

    /// New memory for a per-step result, stacked along time.
    fn stacked(&mut self, lp: &Loop, out: LoopOut, count: usize, context: &Context) -> Result<Value, Error> {
        let ty = lp.body.output_type(lp.output_index(out));
        let name = label(lp.body.node(lp.body.outputs[lp.output_index(out)]));
        let shapes = self.shapes(&ty, context)?;
        let views = shapes.into_iter().map(|shape| self.fresh(&name, [vec![count], shape].concat())).collect();
        Ok(if ty.family.is_some() { Value::Family(views) } else { single(views) })
    }

    /// Memory for a sum over the steps.
    fn accumulator(
        &mut self,
        body: &Body<'_>,
        id: NodeId,
        lp: &Loop,
        out: LoopOut,
        context: &Context,
    ) -> Result<Value, Error> {
        if let Some(place) = body.loop_sinks.get(&(id, out)) {
            return Ok(place.clone());
        }
        let ty = lp.body.output_type(lp.output_index(out));
        let name = format!("sum of {}", label(lp.body.node(lp.body.outputs[lp.output_index(out)])));
        let views = self.shapes(&ty, context)?.into_iter().map(|shape| self.fresh(&name, shape)).collect();
        Ok(if ty.family.is_some() { Value::Family(views) } else { single(views) })
    }

    fn stack(
        &mut self,
        body: &mut Body<'_>,
        id: NodeId,
        lp: &Loop,
        mut args: Vec<Value>,
        stack: &str,
    ) -> Result<(), Error> {
        let layers = self.bindings.layers(&lp.kind, &body.context.sizes)?;
        let wanted = |out: LoopOut| body.gets.contains(&(id, out));
        let mut carries = args.split_off(lp.consts + lp.steps);
        let families = args.split_off(lp.consts);
        let order: Vec<usize> = match lp.reversed {
            false => (0..layers.len()).collect(),
            true => (0..layers.len()).rev().collect(),
        };
        // One value for each layer; filled in the order of the loop.
        let mut before: Vec<Vec<Option<View>>> = vec![vec![None; layers.len()]; lp.carries];
        let mut after = before.clone();
        let mut ys: Vec<Vec<Option<View>>> = vec![vec![None; layers.len()]; lp.ys];
        let mut sums: Vec<Option<Value>> = vec![None; lp.accs];
        for (turn, &layer) in order.iter().enumerate() {
            let is_last = turn + 1 == order.len();
            let context = Context { sizes: layers[layer].clone(), layer, depth: body.context.depth };
            let mut inner = args.clone();
            for value in &families {
                let member = value.views().get(layer).cloned();
                let member =
                    member.ok_or_else(|| self.defect(format!("a family over `{stack}` misses layer {layer}")))?;
                inner.push(Value::Tensor(member));
            }
            for (k, carry) in carries.iter().enumerate() {
                let expected = self.shapes(lp.body.ty(lp.carry_arg(k)), &context)?;
                let found = carry.views().iter().map(|view| &view.sizes);
                if !found.eq(expected.iter()) {
                    let found: Vec<_> = carry.views().iter().map(|view| &view.sizes).collect();
                    let message = format!("layer {layer} takes {expected:?}, but what comes in is {found:?}");
                    return Err(Error::Stack { stack: stack.to_owned(), message });
                }
                before[k][layer] = carry.views().first().cloned();
            }
            inner.extend(carries);
            let mut targets = Vec::new();
            for k in 0..lp.carries {
                let place = body.loop_sinks.get(&(id, LoopOut::Final(k))).filter(|_| is_last);
                targets.push(place.map_or(Target::Anywhere, |place| Target::Write(place.clone())));
            }
            for k in 0..lp.ys {
                let out = LoopOut::Y(k);
                let place = body.loop_sinks.get(&(id, out)).and_then(|place| place.views().get(layer));
                targets.push(match place {
                    Some(view) => Target::Write(Value::Tensor(view.clone())),
                    None if wanted(out) => Target::Anywhere,
                    None => Target::Dead,
                });
            }
            for (k, sum) in sums.iter_mut().enumerate() {
                let out = LoopOut::Acc(k);
                targets.push(match sum {
                    _ if !wanted(out) => Target::Dead,
                    Some(place) => Target::Add(place.clone()),
                    None => {
                        let place = self.accumulator(body, id, lp, out, &context)?;
                        *sum = Some(place.clone());
                        Target::Write(place)
                    }
                });
            }
            let placed = targets.clone();
            let outputs = self.graph(&lp.body, inner, targets, context)?;
            let mut outputs = outputs.into_iter().zip(placed).map(|(value, target)| match target {
                // What was placed may also be elsewhere; the place outlives it.
                Target::Write(place) => Some(place),
                Target::Dead | Target::Anywhere | Target::Add(_) => value,
            });
            carries = Vec::with_capacity(lp.carries);
            for values in &mut after {
                let value = outputs.next().flatten();
                let value =
                    value.ok_or_else(|| self.defect(format!("layer {layer} of `{stack}` carries nothing on")))?;
                values[layer] = value.views().first().cloned();
                carries.push(value);
            }
            for values in &mut ys {
                values[layer] = outputs.next().flatten().and_then(|value| value.views().first().cloned());
            }
        }
        let family = |views: &[Option<View>]| -> Option<Value> {
            views.iter().cloned().collect::<Option<Vec<View>>>().map(Value::Family)
        };
        for k in 0..lp.carries {
            body.results.insert((id, LoopOut::Final(k)), carries[k].clone());
            body.results.extend(family(&before[k]).map(|value| ((id, LoopOut::Before(k)), value)));
            body.results.extend(family(&after[k]).map(|value| ((id, LoopOut::After(k)), value)));
        }
        for (k, views) in ys.iter().enumerate() {
            body.results.extend(family(views).map(|value| ((id, LoopOut::Y(k)), value)));
        }
        for (k, sum) in sums.into_iter().enumerate() {
            body.results.extend(sum.map(|value| ((id, LoopOut::Acc(k)), value)));
        }
        Ok(())
    }
}

/// As many tensors as `model` has.
fn like(model: &Value, views: Vec<View>) -> Value {
    match model {
        Value::Tensor(_) => single(views),
        Value::Family(_) => Value::Family(views),
    }
}

fn single(mut views: Vec<View>) -> Value {
    Value::Tensor(views.remove(0))
}
