//! What the macro puts into the binary: encoded programs and the kernels of their regions.

use crate::cpu::kernel::Kernel;
use crate::error::Error;
use g2_ir::Program;

/// One graph of a definition.
#[derive(Clone, Copy, Debug)]
pub struct Compiled {
    /// The program, as [`Program::encode`] writes it.
    pub program: &'static [u8],
    /// The kernels of its regions, by number.
    pub kernels: &'static [Kernel],
}

impl Compiled {
    /// The program.
    ///
    /// # Errors
    /// If the bytes are not a program of this version.
    pub fn decode(&self) -> Result<Program, Error> {
        Program::decode(self.program).map_err(|message| Error::Program { program: "?".into(), message })
    }
}

/// The graphs of one `graph!` item.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The item's name.
    pub name: &'static str,
    /// Noise on, with loss and gradients.
    pub training: Option<&'static Compiled>,
    /// Noise on, forward only.
    pub sampling: Option<&'static Compiled>,
    /// Noise off, forward only.
    pub evaluation: Option<&'static Compiled>,
}

/// A type that stands for a definition, so that code can be generic over models.
pub trait Model {
    /// The definition.
    const DEFINITION: &'static Definition;
}
