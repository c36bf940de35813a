//! Named tensors of f32 as a file in the format of `safetensors`.

use anyhow::{Context, Result, bail};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use std::collections::BTreeMap;

/// A tensor, row-major.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tensor {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Vec<f32>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// A file of tensors; bits are kept.
///
/// # Errors
/// If a tensor's elements are not as many as its shape says.
pub fn encode(tensors: &Tensors) -> Result<Vec<u8>> {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|tensor| tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        Ok((name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).with_context(|| format!("`{name}`"))?))
    });
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

/// The tensors of a file. Nothing is allocated that the file does not hold.
///
/// # Errors
/// If it is truncated or damaged, sizes overflow, or a tensor is not of f32.
pub fn decode(bytes: &[u8]) -> Result<Tensors> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| match error {
        SafeTensorError::HeaderTooSmall
        | SafeTensorError::InvalidHeaderLength
        | SafeTensorError::MetadataIncompleteBuffer => anyhow::anyhow!("truncated, or not of the length it states"),
        SafeTensorError::ValidationOverflow => anyhow::anyhow!("a tensor's size overflows"),
        other => anyhow::anyhow!("damaged, or not a file of safetensors ({other})"),
    })?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            bail!("`{name}` holds {:?}; write it as 32-bit floats (`tensor.float()` in PyTorch)", view.dtype());
        }
        let (elements, []) = view.data().as_chunks::<4>() else { bail!("`{name}` ends within an element") };
        let data = elements.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
    }
    Ok(tensors)
}
