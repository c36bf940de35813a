//! Numbers for symbols.

use crate::error::Error;
use g2_ir::op::Type;
use g2_ir::{LoopKind, Program, Sizes};
use std::collections::BTreeMap;

/// What a program's sizes are: a number for each dimension, and for each stack its layers' widths.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bindings {
    /// Numbers of dimensions.
    pub sizes: Sizes,
    /// For each stack the width of every layer's output.
    pub stacks: BTreeMap<String, Vec<usize>>,
}

impl Bindings {
    /// Nothing bound.
    pub fn new() -> Bindings {
        Bindings::default()
    }

    /// Binds a dimension.
    #[must_use]
    pub fn with(mut self, dimension: impl Into<String>, size: usize) -> Bindings {
        self.sizes.set(dimension, size);
        self
    }

    /// Binds a stack: one width for each layer, the first layer's first.
    #[must_use]
    pub fn stack(mut self, name: impl Into<String>, widths: impl Into<Vec<usize>>) -> Bindings {
        self.stacks.insert(name.into(), widths.into());
        self
    }

    /// The sizes inside each layer of a stack whose surroundings have `outer`.
    pub(super) fn layers(&self, kind: &LoopKind, outer: &Sizes) -> Result<Vec<Sizes>, Error> {
        let LoopKind::Stack { name, input, hidden, first, last } = kind else {
            return Ok(vec![outer.clone()]);
        };
        let error = |message: String| Error::Stack { stack: name.clone(), message };
        let widths = self.stacks.get(name).ok_or_else(|| error("its layers' widths are not given".into()))?;
        let Some(&width) = widths.last() else {
            return Err(error("it needs at least one layer".into()));
        };
        let first_width = first.eval(outer).map_err(|e| error(format!("its input `{first}`: {e}")))?;
        let last_width = last.eval(outer).map_err(|e| error(format!("its output `{last}`: {e}")))?;
        if width != last_width {
            return Err(error(format!("its last layer is {width} wide, but its output `{last}` is {last_width}")));
        }
        let inputs = std::iter::once(first_width).chain(widths.iter().copied());
        Ok(inputs
            .zip(widths)
            .map(|(from, &to)| outer.clone().with(input.clone(), from).with(hidden.clone(), to))
            .collect())
    }
}

/// The shapes of leaf `k`: one, or one for each layer.
pub(crate) fn leaf_shapes(program: &Program, k: usize, bindings: &Bindings) -> Result<LeafShapes, Error> {
    let (ty, name) = (program.leaf_type(k), &program.leaves[k].name);
    let eval = |ty: &Type, sizes: &Sizes| {
        ty.shape.eval(sizes).map_err(|message| Error::Size { what: format!("`{name}`: {}", ty.shape), message })
    };
    let Some(stack) = &ty.family else {
        return Ok(LeafShapes { shapes: vec![eval(ty, &bindings.sizes)?], family: None });
    };
    let missing = || Error::Program {
        program: program.name.clone(),
        message: format!("`{name}` is a family over `{stack}`, which is no stack of the program"),
    };
    let kind = program.stack(stack).ok_or_else(missing)?;
    let layers = bindings.layers(kind, &bindings.sizes)?;
    let shapes = layers.iter().map(|sizes| eval(ty, sizes)).collect::<Result<_, _>>()?;
    Ok(LeafShapes { shapes, family: Some(stack.clone()) })
}

/// The shapes of one leaf.
pub(crate) struct LeafShapes {
    /// One, or one for each layer.
    pub(crate) shapes: Vec<Vec<usize>>,
    /// The stack, if it is a family.
    pub(crate) family: Option<String>,
}

/// The names of a family's members: `stack.name` becomes `stack.LAYER.name`.
pub(crate) fn family_names(name: &str, family: Option<&str>, count: usize) -> Vec<String> {
    let Some(stack) = family else {
        return vec![name.to_owned()];
    };
    match name.strip_prefix(stack).and_then(|rest| rest.strip_prefix('.')) {
        Some(rest) => (0..count).map(|layer| format!("{stack}.{layer}.{rest}")).collect(),
        None => (0..count).map(|layer| format!("{name}.{layer}")).collect(),
    }
}
