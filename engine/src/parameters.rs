//! Parameters and gradients: named tensors in one contiguous piece of memory, which executors share.

use crate::cpu::Element;
use crate::cpu::storage::Storage;
use crate::definition::Compiled;
use crate::error::Error;
use crate::plan::{Bindings, aligned, family_names, leaf_shapes};
use g2_ir::{LeafKind, Program};
use std::sync::Arc;

/// A named tensor's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name; a family's member is `stack.LAYER.name`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// First element.
    pub offset: usize,
}

impl Entry {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.elements()
    }
}

/// The names, shapes and places of a program's parameters, in the order of the program's leaves.
///
/// Every tensor starts at a multiple of 64 bytes; what lies between is zero and stays zero under any update that
/// takes zero gradients to zero changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    entries: Vec<Entry>,
    total: usize,
}

impl Layout {
    /// The layout of `program`'s parameters for these sizes.
    ///
    /// # Errors
    /// If a size of a parameter is not bound.
    pub fn new(program: &Program, bindings: &Bindings) -> Result<Layout, Error> {
        let mut layout = Layout::default();
        for (k, leaf) in program.leaves.iter().enumerate() {
            if leaf.kind != LeafKind::Param {
                continue;
            }
            let found = leaf_shapes(program, k, bindings)?;
            let names = family_names(&leaf.name, found.family.as_deref(), found.shapes.len());
            for (name, shape) in names.into_iter().zip(found.shapes) {
                let entry = Entry { name, shape, offset: layout.total };
                layout.total += aligned(entry.elements());
                layout.entries.push(entry);
            }
        }
        Ok(layout)
    }

    /// All tensors.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of elements, the gaps included.
    pub fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn offset(&self, name: &str) -> usize {
        self.entry(name).expect("the layout has every parameter of its program").offset
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The first difference to `other`, in words.
    pub(crate) fn difference(&self, other: &Layout) -> Option<String> {
        let pairs = self.entries.iter().zip(&other.entries);
        let describe = |e: &Entry| format!("`{}` {:?}", e.name, e.shape);
        let different = pairs.clone().find(|(a, b)| a != b);
        different.map(|(a, b)| format!("expected {}, found {}", describe(a), describe(b))).or_else(|| {
            let (mine, theirs) = (self.entries.len(), other.entries.len());
            (mine != theirs).then(|| format!("expected {mine} tensors, found {theirs}"))
        })
    }
}

/// One number for each element of a program's parameters: their values, or their gradients.
#[derive(Clone, Debug)]
pub struct Parameters<T: Element> {
    layout: Arc<Layout>,
    data: Storage<T>,
}

impl<T: Element> Parameters<T> {
    /// Zeros for the parameters of `compiled`.
    ///
    /// # Errors
    /// As [`Layout::new`], or if the program cannot be decoded.
    pub fn new(compiled: &Compiled, bindings: &Bindings) -> Result<Parameters<T>, Error> {
        Parameters::of_program(&compiled.decode()?, bindings)
    }

    /// Zeros for the parameters of `program`.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn of_program(program: &Program, bindings: &Bindings) -> Result<Parameters<T>, Error> {
        let layout = Arc::new(Layout::new(program, bindings)?);
        let data = Storage::try_zeros(layout.total(), "the parameters")?;
        Ok(Parameters { layout, data })
    }

    /// Zeros in this layout.
    pub fn with_layout(layout: Arc<Layout>) -> Parameters<T> {
        let data = Storage::zeros(layout.total());
        Parameters { layout, data }
    }

    /// Zeros in the same layout: gradients, or an optimizer's moments.
    #[must_use]
    pub fn zeros_like(&self) -> Parameters<T> {
        Parameters::with_layout(self.layout.clone())
    }

    /// Names, shapes and places.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layout.entries().iter().map(|entry| entry.name.as_str())
    }

    /// The shape of the tensor called `name`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.layout.entry(name).map(|entry| entry.shape.as_slice())
    }

    /// The tensor called `name`, row-major.
    pub fn get(&self, name: &str) -> Option<&[T]> {
        self.layout.entry(name).map(|entry| &self.data.as_slice()[entry.range()])
    }

    /// The tensor called `name`, row-major.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [T]> {
        let range = self.layout.entry(name)?.range();
        Some(&mut self.data.as_mut_slice()[range])
    }

    /// Every tensor with its name and shape.
    pub fn iter(&self) -> impl Iterator<Item = (&Entry, &[T])> {
        self.layout.entries().iter().map(|entry| (entry, &self.data.as_slice()[entry.range()]))
    }

    /// All elements in one piece, the gaps between tensors included: an optimizer's view.
    pub fn as_slice(&self) -> &[T] {
        self.data.as_slice()
    }

    /// All elements in one piece, the gaps between tensors included: an optimizer's view.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.data.as_mut_slice()
    }
}
