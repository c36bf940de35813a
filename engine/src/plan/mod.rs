//! From a program and numbers for its dimensions to a schedule: which instruction when, and every byte's place.
//!
//! ```text
//! bind     numbers for symbols: dimensions, the widths of a stack's layers
//! view     strided looks at buffers; rows: iteration spaces over them
//! program  memory for arguments and outputs, the two halves, next states
//! lower    a graph's nodes to instructions
//!   place    results go straight to where they are needed (concatenations, slots of a scan, gradients)
//!   ops      one operation
//!   loops    scans stay loops, stacks are unrolled
//! memory   lifetimes to offsets in one arena
//! display  the whole as text
//! ```
//!
//! A plan knows nothing of number types, threads or pointers: offsets count elements.

mod bind;
mod display;
mod loops;
mod lower;
mod memory;
mod ops;
mod place;
mod program;
mod rows;
mod view;

pub use bind::Bindings;
pub use rows::{Operand, Rows};
pub use view::{Address, BufferId, Pace, Value, View, Walk};

pub(crate) use bind::{family_names, leaf_shapes};
pub(crate) use memory::aligned;

use crate::error::Error;
use g2_ir::graph::{Mode, Output};
use g2_ir::{LeafKind, Map, Per, Program};

/// How element-wise nodes become instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fusion {
    /// One kernel for each of the program's regions.
    #[default]
    Fused,
    /// One kernel for each node.
    Unfused,
}

/// Where a buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// In the executor's memory from beginning to end: inputs, states, hypers, constants, outputs.
    Kept {
        /// First element.
        offset: usize,
    },
    /// In the executor's memory while it lives.
    Arena {
        /// First element.
        offset: usize,
    },
    /// In the memory that a scan's instruction has for its body.
    Inside {
        /// That memory.
        parent: BufferId,
        /// First element.
        offset: usize,
    },
    /// A parameter.
    Parameter {
        /// First element.
        offset: usize,
    },
    /// A parameter's gradient.
    Gradient {
        /// First element.
        offset: usize,
    },
    /// Indices.
    Index {
        /// First element.
        offset: usize,
    },
}

/// A piece of memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Buffer {
    /// What it holds.
    pub name: String,
    /// Number of elements.
    pub elements: usize,
    /// Where it is.
    pub home: Home,
    /// The list of instructions it belongs to: 0 is the program's own, others are bodies of scans.
    pub scope: usize,
    /// First and last instruction of that list that touch it.
    pub life: Option<(usize, usize)>,
}

/// A tensor that the caller sets or reads.
#[derive(Clone, PartialEq, Debug)]
pub struct Port {
    /// Its name; a family has one port for each layer.
    pub name: String,
    /// Input, state or hyper; outputs have none.
    pub kind: Option<LeafKind>,
    /// Where it is, contiguous.
    pub view: View,
    /// For indices: how many there are to choose from, and what says so.
    pub limit: Option<(usize, String)>,
    /// Whether it holds indices.
    pub is_index: bool,
}

/// Where a kernel is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Among the program's compiled regions.
    Regions,
    /// Among the library's primitives.
    Primitives,
}

/// A place in a kernel that draws uniforms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// The site's number in the program.
    pub gate: u32,
    /// The layer of the enclosing stack, or 0.
    pub layer: u64,
    /// The scan whose step is part of the key; without one, the key's time is `u64::MAX`.
    pub time_of: Option<usize>,
}

/// An element-wise kernel over an iteration space. Operands: lanes, then scalars, then outputs.
#[derive(Clone, PartialEq, Debug)]
pub struct Apply {
    /// The table it is in.
    pub table: Table,
    /// Its number there.
    pub kernel: usize,
    /// Number of operands that vary along a row.
    pub lanes: usize,
    /// Number of operands that do not.
    pub scalars: usize,
    /// Its noise.
    pub noise: Vec<Site>,
    /// The space and the operands.
    pub rows: Rows,
}

/// An operand of a product: a matrix at each index of the batch.
#[derive(Clone, PartialEq, Debug)]
pub struct Matrix {
    /// Its first element.
    pub at: Address,
    /// Elements between matrices, for each batch axis.
    pub batch: Vec<isize>,
    /// Elements between rows.
    pub row: isize,
    /// Elements between columns.
    pub column: isize,
}

/// `c = a b`, or `c += a b`, for each index of the batch; with `fold` the sum over the batch.
#[derive(Clone, PartialEq, Debug)]
pub struct Product {
    /// The batch axes.
    pub batch: Vec<usize>,
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// `[m, k]`
    pub a: Matrix,
    /// `[k, n]`
    pub b: Matrix,
    /// `[m, n]`
    pub c: Matrix,
    /// Sum over the batch.
    pub fold: bool,
    /// Add to what `c` holds.
    pub add: bool,
    /// Where `b` is packed.
    pub packed: Option<Address>,
}

/// Columns of a panel in which a matrix is packed: `[panels][k][PANEL]`.
pub(crate) const PANEL: usize = 32;

/// Which function of whole rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowOp {
    /// Operands: x, out.
    Softmax,
    /// Operands: x, out, mask.
    MaskedSoftmax,
    /// Operands: x, out.
    LogSoftmax,
    /// Operands: x, one result a row, one index a row.
    CrossEntropy,
    /// Operands: x, out, one index a row, one cotangent a row.
    CrossEntropyGrad,
    /// Operands: x, one result a row, one index a row.
    Pick,
    /// Operands: out, one index a row, one cotangent a row.
    PickGrad,
    /// Operands: out, lengths; rows are times.
    LengthMask,
    /// Operands: out, one index a row, and the table's first row: its rows are `table_row` apart.
    Gather {
        /// Elements between the table's rows.
        table_row: isize,
        /// Rows of the table.
        table_rows: usize,
    },
}

/// What one instruction does.
#[derive(Clone, PartialEq, Debug)]
pub enum Work {
    /// An element-wise kernel.
    Apply(Apply),
    /// Operands: from, to.
    Copy {
        /// The space.
        rows: Rows,
        /// Add to what is there.
        add: bool,
    },
    /// The same number everywhere.
    Fill {
        /// The space; one operand.
        rows: Rows,
        /// The number.
        value: f64,
    },
    /// A matrix product.
    Product(Product),
    /// Copies a product's second operand to panels, for all steps of the scan that comes next.
    Pack {
        /// `[k, n]`
        matrix: Matrix,
        /// Its rows.
        k: usize,
        /// Its columns.
        n: usize,
        /// The panels.
        to: Address,
    },
    /// Operands: x, and the result with stride 0 along the axes summed. `kept` axes come first.
    Sum {
        /// The axes that stay, with x and the result as operands, as rows.
        kept: Rows,
        /// The axes summed over, with x as operand, as rows.
        summed: Rows,
    },
    /// A function of rows.
    Rowwise {
        /// Which.
        op: RowOp,
        /// The space.
        rows: Rows,
    },
    /// Adds each row to the table's row of its index, after clearing the table. Operands: rows, one index a row.
    ScatterAdd {
        /// The rows.
        rows: Rows,
        /// The table.
        table: View,
    },
    /// The body, once for each step.
    Scan {
        /// Number of enclosing scans.
        depth: usize,
        /// Number of steps.
        count: usize,
        /// From the last step to the first.
        reversed: bool,
        /// The instructions of one step.
        body: Vec<Step>,
    },
}

/// An instruction.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// What it computes, for people.
    pub label: String,
    /// What it does.
    pub work: Work,
    /// So little that one thread does it.
    pub solo: bool,
    /// Whether all threads meet after it.
    pub meet: bool,
}

/// A buffer that forward writes and backward reads.
#[derive(Clone, PartialEq, Debug)]
pub struct Saved {
    /// The buffer.
    pub buffer: BufferId,
    /// Its number of elements.
    pub elements: usize,
}

/// A schedule.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The program's name.
    pub name: String,
    /// Which graph of its definition.
    pub mode: Mode,
    /// How element-wise nodes were taken.
    pub fusion: Fusion,
    /// All memory.
    pub buffers: Vec<Buffer>,
    /// Constants and where they are.
    pub constants: Vec<f64>,
    /// The buffer that holds them.
    pub constant_buffer: BufferId,
    /// Inputs, states and hypers.
    pub leaves: Vec<Port>,
    /// Named outputs.
    pub outputs: Vec<Port>,
    /// The loss.
    pub loss: Option<View>,
    /// Forward.
    pub forward: Vec<Step>,
    /// Backward.
    pub backward: Vec<Step>,
    /// Next states to states.
    pub commit: Vec<Step>,
    /// Elements of the executor's memory.
    pub memory: usize,
    /// The part of it that is kept.
    pub kept: usize,
    /// Number of index elements.
    pub indices: usize,
    /// What backward reads of forward's memory.
    pub saved: Vec<Saved>,
    /// The parameters' names and shapes.
    pub parameters: std::sync::Arc<crate::parameters::Layout>,
}

impl Plan {
    /// The schedule of `program` for these sizes.
    ///
    /// # Errors
    /// If a dimension or a stack is not bound, or bound to what cannot be.
    pub fn new(program: &Program, bindings: &Bindings, fusion: Fusion) -> Result<Plan, Error> {
        program::plan(program, bindings, fusion)
    }

    /// Whether there is a backward half.
    pub fn trains(&self) -> bool {
        !self.backward.is_empty()
    }
}

/// The number of a primitive's kernel.
pub(crate) fn primitive(map: Map) -> usize {
    // The table's order is that of `Map::ALL`.
    Map::ALL.iter().position(|&m| m == map).expect("`Map::ALL` lists every primitive")
}

/// The number of the lone uniform's kernel.
pub(crate) const UNIFORM: usize = Map::ALL.len();

fn site(gate: u32, per: Per, layer: usize, innermost_scan: Option<usize>) -> Site {
    let time_of = match per {
        Per::Step => innermost_scan,
        Per::Sequence => None,
    };
    Site { gate, layer: layer as u64, time_of }
}

fn has_gradients(outputs: &[Output]) -> bool {
    outputs.iter().any(|o| matches!(o, Output::Grad(_)))
}
