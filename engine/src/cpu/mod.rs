//! The CPU executor: walks a plan with a few threads.
//!
//! ```text
//! simd        instruction sets, and functions compiled for each
//! kernel      a region as a row function; primitives: one for each primitive
//! storage     aligned memory; element: f32 or f64
//! pool        threads and their barrier
//! cursor      iteration spaces, row by row
//! apply, reduce, rowwise, matmul    the instructions; tile: the products' inner loop
//! run         the walk
//! check       that a plan's views stay inside their buffers
//! ```
//!
//! Every result's bits are a function of the program, its sizes and its inputs: not of the number of threads, of the
//! instruction set or of fusion. After the first run nothing here allocates or locks.

mod apply;
mod check;
mod cursor;
mod element;
pub mod kernel;
mod matmul;
mod pool;
pub mod primitives;
mod reduce;
mod rowwise;
mod run;
pub mod simd;
pub mod storage;
mod tile;

pub use element::Element;

use crate::definition::Compiled;
use crate::error::Error;
use crate::parameters::{Layout, Parameters};
use crate::plan::{Bindings, Fusion, Home, Plan, Port, Step, View};
use g2_ir::{LeafKind, Program};
use kernel::Kernel;
use pool::{Barrier, Pool};
use primitives::PRIMITIVES;
use run::{Bases, Frame, Worker};
use simd::Isa;
use storage::Storage;

/// How to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Number of threads, the caller's included. Results do not depend on it.
    pub threads: usize,
    /// One kernel for each region, or one for each node. Results do not depend on it.
    pub fusion: Fusion,
    /// The seed of all noise.
    pub seed: u64,
}

impl Default for Options {
    /// Fused, a thread for each core, seed 0.
    fn default() -> Options {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Options { threads, fusion: Fusion::default(), seed: 0 }
    }
}

/// A program bound to sizes, its memory and its threads.
pub struct Executor<T: Element> {
    plan: Plan,
    kernels: &'static [Kernel],
    memory: Storage<T>,
    indices: Vec<u32>,
    scratch: Vec<Storage<T>>,
    bases: Bases<T>,
    pool: Pool,
    barrier: Barrier,
    isa: Isa,
    seed: u64,
    step: u64,
    /// Whether forward has run and backward has not.
    awaits_backward: bool,
}

impl<T: Element> Executor<T> {
    /// An executor of `compiled` for these sizes, all inputs, states and hypers zero.
    ///
    /// # Errors
    /// If the program cannot be decoded, a size is missing or does not fit, or a thread cannot be started.
    pub fn new(compiled: &Compiled, bindings: &Bindings, options: Options) -> Result<Executor<T>, Error> {
        Executor::of_program(&compiled.decode()?, compiled.kernels, bindings, options)
    }

    /// As [`Executor::new`], from a program and the kernels of its regions.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn of_program(
        program: &Program,
        kernels: &'static [Kernel],
        bindings: &Bindings,
        options: Options,
    ) -> Result<Executor<T>, Error> {
        g2_ir::verify::verify_program(program)
            .map_err(|message| Error::Program { program: program.name.clone(), message })?;
        let plan = Plan::new(program, bindings, options.fusion)?;
        let packed = check::check(&plan, kernels)?;
        let pool = Pool::new(options.threads)?;
        let mut memory = Storage::try_zeros(plan.memory, "the executor")?;
        let start = kept_offset(&plan, plan.buffers[plan.constant_buffer.index()].home);
        for (place, &value) in memory.as_mut_slice()[start..].iter_mut().zip(&plan.constants) {
            *place = T::from_f64(value);
        }
        let count = plan.buffers.len();
        Ok(Executor {
            kernels,
            memory,
            indices: vec![0; plan.indices],
            scratch: (0..pool.threads())
                .map(|_| Storage::zeros((packed * apply::BLOCK).max(matmul::SCRATCH)))
                .collect(),
            bases: Bases {
                real: vec![std::ptr::null_mut(); count],
                index: vec![std::ptr::null(); count],
                scratch: vec![std::ptr::null_mut(); pool.threads()],
            },
            barrier: pool.barrier(),
            pool,
            isa: Isa::detect(),
            seed: options.seed,
            step: 0,
            awaits_backward: false,
            plan,
        })
    }

    /// The schedule.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Uses another instruction set from now on, for tests and measurements.
    ///
    /// # Panics
    /// If this machine does not have it.
    pub fn set_isa(&mut self, isa: Isa) {
        assert!(isa.is_available(), "this machine has no {isa:?}");
        self.isa = isa;
    }

    /// Sets an input of indices: tokens, targets, lengths.
    ///
    /// # Errors
    /// If there is no such input, the length is wrong, or an index is beyond what it selects from.
    pub fn set_index(&mut self, name: &str, values: &[u32]) -> Result<(), Error> {
        let port = find("index input", &self.plan.leaves, name, |port| port.is_index)?;
        check_length(port, values.len())?;
        if let Some((limit, what)) = &port.limit
            && let Some(position) = values.iter().position(|&value| value as usize >= *limit)
        {
            return Err(Error::Index {
                name: name.to_owned(),
                position,
                found: values[position],
                largest: limit.saturating_sub(1),
                what: what.clone(),
            });
        }
        let Home::Index { offset } = self.plan.buffers[port.view.at.buffer.index()].home else {
            return Err(Error::Order("an index input is not in index memory"));
        };
        self.indices[offset..offset + values.len()].copy_from_slice(values);
        self.awaits_backward = false;
        Ok(())
    }

    /// Sets an input of numbers.
    ///
    /// # Errors
    /// If there is no such input, or the length is wrong.
    pub fn set_input(&mut self, name: &str, values: &[T]) -> Result<(), Error> {
        self.set(LeafKind::Input, "input", name, values)
    }

    /// Sets a hyperparameter.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn set_hyper(&mut self, name: &str, value: f64) -> Result<(), Error> {
        self.set(LeafKind::Hyper, "hyper", name, &[T::from_f64(value)])
    }

    /// Sets a state.
    ///
    /// # Errors
    /// If there is none of that name, or the length is wrong.
    pub fn set_state(&mut self, name: &str, values: &[T]) -> Result<(), Error> {
        self.set(LeafKind::State, "state", name, values)
    }

    /// A state, as the last run has left it.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn state(&self, name: &str) -> Result<&[T], Error> {
        let port = find("state", &self.plan.leaves, name, |port| port.kind == Some(LeafKind::State))?;
        Ok(self.read(&port.view))
    }

    /// Sets every state to zero.
    pub fn reset_states(&mut self) {
        self.awaits_backward = false;
        for port in &self.plan.leaves {
            if port.kind == Some(LeafKind::State) && !port.is_index {
                let start = kept_offset(&self.plan, self.plan.buffers[port.view.at.buffer.index()].home);
                self.memory.as_mut_slice()[start..start + port.view.elements()].fill(T::zero());
            }
        }
    }

    /// A named output of the last forward run.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn output(&self, name: &str) -> Result<&[T], Error> {
        find("output", &self.plan.outputs, name, |_| true).map(|port| self.read(&port.view))
    }

    /// The loss of the last forward run; zero for a program without one.
    pub fn loss(&self) -> T {
        self.plan.loss.as_ref().map_or(T::zero(), |view| self.read(view)[0])
    }

    /// Runs forward. `step` is a coordinate of the noise: another step, other noise.
    ///
    /// A program without a backward half then takes its next states.
    ///
    /// # Errors
    /// If the parameters are another program's.
    pub fn forward(&mut self, parameters: &Parameters<T>, step: u64) -> Result<(), Error> {
        check_layout(&self.plan, "parameters", parameters.layout())?;
        self.step = step;
        self.bind(parameters.as_slice(), None);
        self.walk(|plan| &plan.forward);
        self.awaits_backward = self.plan.trains();
        if !self.awaits_backward {
            self.walk(|plan| &plan.commit);
        }
        Ok(())
    }

    /// Runs backward for the last forward run: every gradient is written (not added to). Then takes the next states.
    ///
    /// # Errors
    /// If parameters or gradients are another program's, or forward has not run since the last backward.
    pub fn backward(&mut self, parameters: &Parameters<T>, gradients: &mut Parameters<T>) -> Result<(), Error> {
        if !self.plan.trains() {
            return Err(Error::Order("this program has no backward half: build the executor from the training graph"));
        }
        if !self.awaits_backward {
            return Err(Error::Order("backward has to follow a forward run, with nothing set in between"));
        }
        check_layout(&self.plan, "parameters", parameters.layout())?;
        check_layout(&self.plan, "gradients", gradients.layout())?;
        self.bind(parameters.as_slice(), Some(gradients.as_mut_slice()));
        self.walk(|plan| &plan.backward);
        self.walk(|plan| &plan.commit);
        self.awaits_backward = false;
        Ok(())
    }

    fn set(&mut self, kind: LeafKind, what: &'static str, name: &str, values: &[T]) -> Result<(), Error> {
        let port = find(what, &self.plan.leaves, name, |port| port.kind == Some(kind) && !port.is_index)?;
        check_length(port, values.len())?;
        let start = kept_offset(&self.plan, self.plan.buffers[port.view.at.buffer.index()].home);
        self.memory.as_mut_slice()[start..start + values.len()].copy_from_slice(values);
        // Backward reads what forward has read.
        self.awaits_backward = false;
        Ok(())
    }

    fn read(&self, view: &View) -> &[T] {
        let start = kept_offset(&self.plan, self.plan.buffers[view.at.buffer.index()].home);
        &self.memory.as_slice()[start..start + view.elements()]
    }

    /// Takes anew every pointer that a run uses.
    fn bind(&mut self, parameters: &[T], gradients: Option<&mut [T]>) {
        let memory = self.memory.as_mut_ptr();
        let gradients = gradients.map_or(std::ptr::null_mut(), <[T]>::as_mut_ptr);
        for (id, buffer) in self.plan.buffers.iter().enumerate() {
            // Only instructions' destinations are written, and no parameter is one.
            let (base, offset) = match buffer.home {
                Home::Parameter { offset } => (parameters.as_ptr().cast_mut(), offset),
                Home::Gradient { offset } => (gradients, offset),
                Home::Kept { .. } | Home::Arena { .. } | Home::Inside { .. } => {
                    (memory, kept_offset(&self.plan, buffer.home))
                }
                Home::Index { offset } => {
                    self.bases.index[id] = self.indices[offset..].as_ptr();
                    continue;
                }
            };
            self.bases.real[id] = base.wrapping_add(offset);
        }
        for (pointer, scratch) in self.bases.scratch.iter_mut().zip(&mut self.scratch) {
            *pointer = scratch.as_mut_ptr();
        }
    }

    fn walk(&mut self, list: impl Fn(&Plan) -> &[Step]) {
        let steps = list(&self.plan);
        if steps.is_empty() {
            return;
        }
        let frame = Frame {
            bases: &self.bases,
            kernels: self.kernels,
            primitives: PRIMITIVES,
            isa: self.isa,
            seed: self.seed,
            step: self.step,
            threads: self.pool.threads(),
            barrier: &self.barrier,
        };
        self.pool.run(&|id| {
            let mut worker = Worker::new(&frame, id, frame.bases.scratch[id]);
            // SAFETY: the plan has been checked, `bind` has just taken the pointers to memory that `self` owns or
            // its caller lends, all workers run this list, and `&mut self` keeps others away.
            unsafe { worker.run(steps) };
        });
    }
}

/// First element in the executor's memory.
fn kept_offset(plan: &Plan, home: Home) -> usize {
    match home {
        Home::Kept { offset } | Home::Arena { offset } => offset,
        Home::Inside { parent, offset } => kept_offset(plan, plan.buffers[parent.index()].home) + offset,
        Home::Parameter { offset } | Home::Gradient { offset } | Home::Index { offset } => offset,
    }
}

fn find<'a>(
    kind: &'static str,
    ports: &'a [Port],
    name: &str,
    is_kind: impl Fn(&Port) -> bool,
) -> Result<&'a Port, Error> {
    let unknown = || {
        let known: Vec<String> = ports.iter().filter(|p| is_kind(p)).map(|p| format!("`{}`", p.name)).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Error::Unknown { kind, name: name.to_owned(), known }
    };
    ports.iter().find(|port| port.name == name && is_kind(port)).ok_or_else(unknown)
}

fn check_length(port: &Port, found: usize) -> Result<(), Error> {
    let expected = port.view.elements();
    if found == expected {
        return Ok(());
    }
    Err(Error::Length { name: port.name.clone(), shape: port.view.sizes.clone(), expected, found })
}

fn check_layout(plan: &Plan, what: &'static str, layout: &std::sync::Arc<Layout>) -> Result<(), Error> {
    if std::sync::Arc::ptr_eq(&plan.parameters, layout) {
        return Ok(());
    }
    plan.parameters.difference(layout).map_or(Ok(()), |message| Err(Error::Layout { what, message }))
}
