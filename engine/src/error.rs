//! What can go wrong between a definition and its results: each message names the tensor or the dimension at fault.

/// An error of binding, setting or running a graph.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The description of the graph is not one this engine can run.
    #[error("program `{program}`: {message}")]
    Program {
        /// The program's name.
        program: String,
        /// What is wrong with it.
        message: String,
    },
    /// A dimension has no number, or one that does not fit.
    #[error("{what}: {message}; bind it with `Bindings::with`")]
    Size {
        /// The tensor or loop whose size it is.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// A stack's widths are missing or do not fit its ends.
    #[error("stack `{stack}`: {message}; bind it with `Bindings::stack`")]
    Stack {
        /// The stack's name.
        stack: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is nothing of that name.
    #[error("there is no {kind} `{name}`; there are: {known}")]
    Unknown {
        /// What was looked for: input, hyper, state, output, parameter.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// More memory than there is.
    #[error("{what} would need {gigabytes} GB, which this machine does not have; make the dimensions smaller")]
    Memory {
        /// What it is for.
        what: &'static str,
        /// How much, rounded up.
        gigabytes: usize,
    },
    /// A slice of another length than its tensor.
    #[error("`{name}` is {shape:?}, which is {expected} elements, found {found}")]
    Length {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The number of elements given.
        found: usize,
    },
    /// An index that points outside of the table it selects from.
    #[error("`{name}`[{position}] is {found}, but {what} allows indices up to {largest}")]
    Index {
        /// The index tensor's name.
        name: String,
        /// Which of its elements.
        position: usize,
        /// The index found.
        found: u32,
        /// The largest index allowed.
        largest: usize,
        /// The operation that sets the limit.
        what: String,
    },
    /// Parameters or gradients of another program or other sizes.
    #[error("these {what} are laid out for another program or other sizes: {message}")]
    Layout {
        /// Parameters or gradients.
        what: &'static str,
        /// The first difference.
        message: String,
    },
    /// A call that does not fit what was called before it.
    #[error("{0}")]
    Order(&'static str),
    /// A compiled kernel does not fit the region it is for.
    #[error("kernel {index} is {found}, but the program's region has {expected}; the two were not compiled together")]
    Kernel {
        /// The kernel's number.
        index: usize,
        /// The kernel that is there, or that there is none.
        found: String,
        /// What the region needs.
        expected: String,
    },
    /// The operating system refused a thread.
    #[error("cannot start a worker thread: {0}")]
    Threads(String),
}
