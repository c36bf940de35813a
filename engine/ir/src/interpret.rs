//! The oracle: every operation in plain f64 loops, from the standard library's functions, with nothing shared with the
//! engine but the graph itself.

use crate::dim::{Dim, Sizes};
use crate::graph::{Graph, Loop, LoopKind, LoopOut, NodeId};
use crate::op::{Op, Per};
use std::collections::BTreeMap;

/// A dense tensor; indices are kept as whole numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements, the last axis fastest.
    pub data: Vec<f64>,
}

impl Tensor {
    /// A tensor of `shape` whose element at each multi-index `f` gives.
    pub fn from_fn(shape: &[usize], mut f: impl FnMut(&[usize]) -> f64) -> Tensor {
        let mut index = vec![0; shape.len()];
        let data = (0..shape.iter().product())
            .map(|mut i: usize| {
                for axis in (0..shape.len()).rev() {
                    index[axis] = i % shape[axis];
                    i /= shape[axis];
                }
                f(&index)
            })
            .collect();
        Tensor { shape: shape.to_vec(), data }
    }

    /// The element at a multi-index.
    pub fn at(&self, index: &[usize]) -> f64 {
        let flat = index.iter().zip(&self.shape).fold(0, |flat, (i, n)| flat * n + i);
        self.data[flat]
    }

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::from_fn(shape, |_| 0.0)
    }

    /// Slice `t` of the first axis.
    fn step(&self, t: usize) -> Tensor {
        let size: usize = self.shape[1..].iter().product();
        Tensor { shape: self.shape[1..].to_vec(), data: self.data[t * size..(t + 1) * size].to_vec() }
    }

    /// Steps of one shape, one after the other.
    fn stack(steps: &[Tensor], shape: &[usize]) -> Tensor {
        let shape = [&[steps.len()], shape].concat();
        Tensor { shape, data: steps.iter().flat_map(|s| s.data.clone()).collect() }
    }

    fn add(&mut self, other: &Tensor) {
        self.data.iter_mut().zip(&other.data).for_each(|(a, b)| *a += b);
    }
}

/// The value of a node: a tensor, or one tensor for each layer of a stack.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// One tensor.
    Tensor(Tensor),
    /// One tensor a layer.
    Family(Vec<Tensor>),
}

impl Value {
    /// The tensor.
    ///
    /// # Panics
    /// If it is a family.
    pub fn tensor(&self) -> &Tensor {
        match self {
            Value::Tensor(t) => t,
            Value::Family(_) => panic!("a family where one tensor was expected"),
        }
    }
}

/// One draw of noise, by its coordinates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draw {
    /// Layer of the stack around it, 0 outside.
    pub layer: usize,
    /// Time step of the scan around it; none if it is drawn once a sequence or stands outside of scans.
    pub time: Option<usize>,
    /// The site in the program.
    pub site: u32,
    /// Index of the element in the site's shape.
    pub element: usize,
}

/// What a graph is interpreted with.
pub struct Context<'a> {
    /// Numbers for the dimensions.
    pub sizes: Sizes,
    /// For each stack, each layer's output width.
    pub stacks: BTreeMap<String, Vec<usize>>,
    /// The uniform at each draw.
    pub noise: &'a dyn Fn(Draw) -> f64,
    layer: usize,
    time: Option<usize>,
}

impl<'a> Context<'a> {
    /// A context outside of all loops.
    pub fn new(sizes: Sizes, stacks: BTreeMap<String, Vec<usize>>, noise: &'a dyn Fn(Draw) -> f64) -> Context<'a> {
        Context { sizes, stacks, noise, layer: 0, time: None }
    }

    fn dim(&self, dim: &Dim) -> usize {
        dim.eval(&self.sizes).unwrap_or_else(|error| panic!("{error}"))
    }

    fn dims(&self, dims: &[Dim]) -> Vec<usize> {
        dims.iter().map(|d| self.dim(d)).collect()
    }
}

/// The values of a graph's outputs for those of its arguments.
///
/// # Panics
/// If the graph is ill-typed or a dimension is not bound: this is an oracle for tests, not an executor.
pub fn interpret(g: &Graph, args: &[Value], context: &Context<'_>) -> Vec<Value> {
    let values = evaluate(g, args, context);
    g.outputs.iter().map(|id| values[id.index()].clone()).collect()
}

type LoopResults = BTreeMap<LoopOut, Value>;

fn evaluate(g: &Graph, args: &[Value], context: &Context<'_>) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::with_capacity(g.nodes.len());
    let mut loops: BTreeMap<NodeId, LoopResults> = BTreeMap::new();
    for id in g.ids() {
        let node = g.node(id);
        let value = match &node.op {
            Op::Arg(k) => args[*k].clone(),
            Op::Loop(lp) => {
                let outer: Vec<Value> = node.args.iter().map(|a| values[a.index()].clone()).collect();
                loops.insert(id, run_loop(lp, &outer, context));
                Value::Tensor(Tensor::zeros(&[]))
            }
            Op::Get(out) => loops[&node.args[0]][out].clone(),
            op => {
                let x: Vec<&Tensor> = node.args.iter().map(|a| values[a.index()].tensor()).collect();
                Value::Tensor(primitive(op, &x, context))
            }
        };
        values.push(value);
    }
    values
}

fn run_loop(lp: &Loop, outer: &[Value], context: &Context<'_>) -> LoopResults {
    let widths: Vec<(usize, usize)> = match &lp.kind {
        LoopKind::Scan { time } => vec![(0, 0); context.dim(time)],
        LoopKind::Stack { name, first, .. } => {
            let mut input = context.dim(first);
            context.stacks[name].iter().map(|&hidden| (std::mem::replace(&mut input, hidden), hidden)).collect()
        }
    };
    let count = widths.len();
    let fixed = lp.consts + lp.steps;
    let mut carries: Vec<Tensor> = outer[fixed..].iter().map(|v| v.tensor().clone()).collect();
    let outputs = lp.carries + lp.ys + lp.accs;
    let mut before: Vec<Vec<Tensor>> = vec![Vec::new(); lp.carries];
    let mut after: Vec<Vec<Tensor>> = vec![Vec::new(); outputs];
    let order: Vec<usize> = if lp.reversed { (0..count).rev().collect() } else { (0..count).collect() };
    for &t in &order {
        let mut inner = Context {
            sizes: context.sizes.clone(),
            stacks: context.stacks.clone(),
            noise: context.noise,
            layer: context.layer,
            time: context.time,
        };
        match &lp.kind {
            LoopKind::Scan { .. } => inner.time = Some(t),
            LoopKind::Stack { input, hidden, .. } => {
                inner.layer = t;
                inner.sizes.set(input.clone(), widths[t].0);
                inner.sizes.set(hidden.clone(), widths[t].1);
            }
        }
        let args: Vec<Value> = (0..outer.len())
            .map(|k| match &outer[k] {
                _ if k >= fixed => Value::Tensor(carries[k - fixed].clone()),
                value if k < lp.consts => value.clone(),
                Value::Family(each) => Value::Tensor(each[t].clone()),
                Value::Tensor(stacked) => Value::Tensor(stacked.step(t)),
            })
            .collect();
        let results = interpret(&lp.body, &args, &inner);
        for (k, result) in results.into_iter().enumerate() {
            let result = result.tensor().clone();
            if k < lp.carries {
                before[k].push(std::mem::replace(&mut carries[k], result.clone()));
            }
            after[k].push(result);
        }
    }
    let all = |mut steps: Vec<Tensor>, body_value: NodeId| {
        if lp.reversed {
            steps.reverse();
        }
        match lp.kind {
            LoopKind::Scan { .. } => Value::Tensor(Tensor::stack(&steps, &context.dims(&lp.body.shape(body_value).0))),
            LoopKind::Stack { .. } => Value::Family(steps),
        }
    };
    let output = |k: usize| lp.body.outputs[k];
    let mut results = LoopResults::new();
    for k in 0..lp.carries {
        results.insert(LoopOut::Final(k), Value::Tensor(carries[k].clone()));
        results.insert(LoopOut::Before(k), all(before[k].clone(), lp.carry_arg(k)));
        results.insert(LoopOut::After(k), all(after[k].clone(), output(k)));
    }
    for k in 0..lp.ys {
        results.insert(LoopOut::Y(k), all(after[lp.carries + k].clone(), output(lp.carries + k)));
    }
    for k in 0..lp.accs {
        let steps = &after[lp.carries + lp.ys + k];
        // A stack's own symbols stand for no one number; it has at least one layer.
        let shape = steps
            .first()
            .map_or_else(|| context.dims(&lp.body.shape(output(lp.carries + lp.ys + k)).0), |step| step.shape.clone());
        let mut sum = Tensor::zeros(&shape);
        steps.iter().for_each(|step| sum.add(step));
        results.insert(LoopOut::Acc(k), Value::Tensor(sum));
    }
    results
}

fn primitive(op: &Op, x: &[&Tensor], context: &Context<'_>) -> Tensor {
    match op {
        Op::Const(value) => Tensor { shape: vec![], data: vec![*value] },
        Op::Size(dim) => Tensor { shape: vec![], data: vec![context.dim(dim) as f64] },
        Op::Map(map) => {
            let value = map.row().value;
            let at = |i: usize| value(&x.iter().map(|t| t.data[i]).collect::<Vec<_>>());
            Tensor { shape: x[0].shape.clone(), data: (0..x[0].data.len()).map(at).collect() }
        }
        Op::Uniform { site, per, shape } => {
            let time = context.time.filter(|_| *per == Per::Step);
            let mut element = 0..;
            Tensor::from_fn(&context.dims(&shape.0), |_| {
                let element = element.next().expect("an open range");
                (context.noise)(Draw { layer: context.layer, time, site: *site, element })
            })
        }
        Op::Broadcast { shape, axes } => {
            Tensor::from_fn(&context.dims(&shape.0), |i| x[0].at(&axes.iter().map(|&a| i[a]).collect::<Vec<_>>()))
        }
        Op::Slice { axis, start, len } => {
            let (start, len) = (context.dim(start), context.dim(len));
            Tensor::from_fn(&replaced(&x[0].shape, *axis, len), |i| x[0].at(&replaced(i, *axis, i[*axis] + start)))
        }
        Op::Pad { axis, start, len } => {
            let (start, len, inner) = (context.dim(start), context.dim(len), x[0].shape[*axis]);
            Tensor::from_fn(&replaced(&x[0].shape, *axis, len), |i| match i[*axis].checked_sub(start) {
                Some(k) if k < inner => x[0].at(&replaced(i, *axis, k)),
                _ => 0.0,
            })
        }
        Op::Reverse { axis } => {
            let len = x[0].shape[*axis];
            Tensor::from_fn(&x[0].shape, |i| x[0].at(&replaced(i, *axis, len - 1 - i[*axis])))
        }
        Op::Transpose => Tensor::from_fn(&swapped(&x[0].shape), |i| x[0].at(&swapped(i))),
        Op::Insert { axis } => {
            let mut shape = x[0].shape.clone();
            shape.insert(*axis, 1);
            Tensor { shape, data: x[0].data.clone() }
        }
        Op::Remove { axis } => Tensor { shape: without(&x[0].shape, &[*axis]), data: x[0].data.clone() },
        Op::Concat { axis } => {
            let total = x.iter().map(|t| t.shape[*axis]).sum();
            Tensor::from_fn(&replaced(&x[0].shape, *axis, total), |i| {
                let mut k = i[*axis];
                let mut parts = x.iter();
                loop {
                    let part = parts.next().expect("an index within the sum of the parts");
                    match k.checked_sub(part.shape[*axis]) {
                        None => return part.at(&replaced(i, *axis, k)),
                        Some(rest) => k = rest,
                    }
                }
            })
        }
        Op::Sum { axes } => {
            let mut sum = Tensor::zeros(&without(&x[0].shape, axes));
            Tensor::from_fn(&x[0].shape, |i| {
                let kept = without(i, axes);
                let flat = kept.iter().zip(&sum.shape).fold(0, |flat, (i, n)| flat * n + i);
                sum.data[flat] += x[0].at(i);
                0.0
            });
            sum
        }
        Op::MatMul { ta, tb, fold } => matmul(x[0], x[1], *ta, *tb, *fold),
        Op::Gather => {
            let shape = [x[1].shape.as_slice(), &x[0].shape[1..]].concat();
            Tensor::from_fn(&shape, |i| {
                let (ids, column) = i.split_at(i.len() - 1);
                x[0].at(&[x[1].at(ids) as usize, column[0]])
            })
        }
        Op::ScatterAdd { rows } => {
            let width = x[1].shape[x[1].shape.len() - 1];
            let mut table = Tensor::zeros(&[context.dim(rows), width]);
            for (row, &id) in x[0].data.iter().enumerate() {
                for column in 0..width {
                    table.data[id as usize * width + column] += x[1].data[row * width + column];
                }
            }
            table
        }
        Op::Pick => {
            let width = x[0].shape[x[0].shape.len() - 1];
            let at = |(row, &id): (usize, &f64)| x[0].data[row * width + id as usize];
            Tensor { shape: x[1].shape.clone(), data: x[1].data.iter().enumerate().map(at).collect() }
        }
        Op::PickGrad { len } => {
            let width = context.dim(len);
            let mut out = Tensor::zeros(&[x[0].shape.as_slice(), &[width]].concat());
            for (row, &id) in x[0].data.iter().enumerate() {
                out.data[row * width + id as usize] = x[1].data[row];
            }
            out
        }
        Op::Softmax => by_row(x[0], |row, r| {
            let mask = |k: usize| x.get(1).is_none_or(|m| m.data[r * row.len() + k] != 0.0);
            let max = row.iter().enumerate().filter(|(k, _)| mask(*k)).fold(f64::NEG_INFINITY, |m, (_, v)| m.max(*v));
            let e: Vec<f64> =
                row.iter().enumerate().map(|(k, v)| if mask(k) { (v - max).exp() } else { 0.0 }).collect();
            let sum: f64 = e.iter().sum();
            e.iter().map(|v| if sum == 0.0 { 0.0 } else { v / sum }).collect()
        }),
        Op::LogSoftmax => by_row(x[0], |row, _| row.iter().map(|v| v - log_sum_exp(row)).collect()),
        Op::CrossEntropy => {
            let width = x[0].shape[x[0].shape.len() - 1];
            let nll = |(r, &id): (usize, &f64)| {
                let row = &x[0].data[r * width..(r + 1) * width];
                log_sum_exp(row) - row[id as usize]
            };
            Tensor { shape: x[1].shape.clone(), data: x[1].data.iter().enumerate().map(nll).collect() }
        }
        Op::CrossEntropyGrad => by_row(x[0], |row, r| {
            let one = |k: usize| if x[1].data[r] as usize == k { 1.0 } else { 0.0 };
            row.iter().enumerate().map(|(k, v)| ((v - log_sum_exp(row)).exp() - one(k)) * x[2].data[r]).collect()
        }),
        Op::LengthMask { time } => Tensor::from_fn(&[context.dim(time), x[0].shape[0]], |i| {
            f64::from(u8::from((i[0] as f64) < x[0].at(&i[1..])))
        }),
        Op::Arg(_) | Op::Loop(_) | Op::Get(_) => unreachable!("evaluated by the graph"),
    }
}

fn matmul(a: &Tensor, b: &Tensor, ta: bool, tb: bool, fold: bool) -> Tensor {
    let matrix = |t: &Tensor, flip: bool| {
        let (lead, last) = t.shape.split_at(t.shape.len() - 2);
        let (r, c) = if flip { (last[1], last[0]) } else { (last[0], last[1]) };
        (lead.to_vec(), r, c)
    };
    let ((lead_a, m, k), (lead_b, _, n)) = (matrix(a, ta), matrix(b, tb));
    let lead = if lead_a.is_empty() { lead_b.clone() } else { lead_a.clone() };
    let batch: usize = lead.iter().product();
    let at = |t: &Tensor, lead: &[usize], flip: bool, l: usize, i: usize, j: usize| {
        let (rows, columns) = (t.shape[t.shape.len() - 2], t.shape[t.shape.len() - 1]);
        let (i, j) = if flip { (j, i) } else { (i, j) };
        let l = if lead.is_empty() { 0 } else { l };
        t.data[(l * rows + i) * columns + j]
    };
    let mut out = vec![0.0; if fold { m * n } else { batch * m * n }];
    for l in 0..batch {
        let base = if fold { 0 } else { l * m * n };
        for i in 0..m {
            for j in 0..n {
                let sum: f64 = (0..k).map(|p| at(a, &lead_a, ta, l, i, p) * at(b, &lead_b, tb, l, p, j)).sum();
                out[base + i * n + j] += sum;
            }
        }
    }
    let lead = if fold { Vec::new() } else { lead };
    Tensor { shape: [lead, vec![m, n]].concat(), data: out }
}

fn by_row(x: &Tensor, mut f: impl FnMut(&[f64], usize) -> Vec<f64>) -> Tensor {
    let width = x.shape[x.shape.len() - 1].max(1);
    let data = x.data.chunks(width).enumerate().flat_map(|(r, row)| f(row, r)).collect();
    Tensor { shape: x.shape.clone(), data }
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + row.iter().map(|v| (v - max).exp()).sum::<f64>().ln()
}

fn replaced(index: &[usize], axis: usize, value: usize) -> Vec<usize> {
    let mut index = index.to_vec();
    index[axis] = value;
    index
}

fn without(index: &[usize], axes: &[usize]) -> Vec<usize> {
    index.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &i)| i).collect()
}

fn swapped(index: &[usize]) -> Vec<usize> {
    let mut index = index.to_vec();
    let rank = index.len();
    index.swap(rank - 1, rank - 2);
    index
}
