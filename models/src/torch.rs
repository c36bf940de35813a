//! Parameters under the names and in the layout of PyTorch.
//!
//! ```text
//! ours          PyTorch                                  shape
//! embed         encoder.weight                           [V, E]
//! layers.N.w_x  weight_ih_lN                             [4H, I]   rows: gates i, f, g, o
//! layers.N.w_h  weight_hh_lN                             [4H, H]
//! layers.N.b    bias_ih_lN, and bias_hh_lN added to it   [4H]
//! decoder       decoder.weight                           [V, F]    tied: encoder.weight
//! bias          decoder.bias                             [V]
//! ```
//!
//! Parameters are not changed on the way. In evaluation our cells are `torch.nn.LSTM`, but for the sharpened one, which
//! still divides the pre-activations of i and f by `tau`.
//!
//! The layers' names are those of `torch.nn.LSTM`, the others those of PyTorch's example of a language model. What
//! [`state_dict`] gives is loaded by
//!
//! ```python
//! state = safetensors.torch.load_file("model.safetensors")
//! lstm.load_state_dict({name: value for name, value in state.items() if name.startswith(("weight_", "bias_"))})
//! encoder.load_state_dict({"weight": state["encoder.weight"]})
//! decoder.load_state_dict({"weight": state["decoder.weight"], "bias": state["decoder.bias"]})
//! ```
//!
//! and `safetensors.torch.save_file(model.state_dict(), "model.safetensors")` is read by [`parameters`], whatever the
//! modules that hold the layers are called: `rnn.weight_ih_l0` is taken for `weight_ih_l0`.

use crate::checkpoint::tensors::{Tensor, Tensors};
use crate::config::Model;
use anyhow::{Context, Result, bail, ensure};
use g2_engine::Parameters;

/// One of our tensors.
struct Place {
    ours: String,
    torch: String,
    /// What PyTorch adds to it, if the file has it.
    added: Option<String>,
    shape: Vec<usize>,
}

/// All tensors of a model, one after the other: sizes from a file may be absurd, so nothing is made of them at once.
fn places(model: &Model, vocab: usize) -> impl Iterator<Item = Place> {
    let place = |ours: &str, torch: &str, shape: &[usize]| Place {
        ours: ours.to_owned(),
        torch: torch.to_owned(),
        added: None,
        shape: shape.to_vec(),
    };
    let (embedding, hidden, features, tie) = (model.embedding, model.hidden, model.features(), model.tie);
    let last = model.layers - 1;
    let layers = (0..model.layers).flat_map(move |layer| {
        let input = if layer == 0 { embedding } else { hidden };
        let width = if layer == last { features } else { hidden };
        let rows = 4 * width;
        let bias = place(&format!("layers.{layer}.b"), &format!("bias_ih_l{layer}"), &[rows]);
        [
            place(&format!("layers.{layer}.w_x"), &format!("weight_ih_l{layer}"), &[rows, input]),
            place(&format!("layers.{layer}.w_h"), &format!("weight_hh_l{layer}"), &[rows, width]),
            Place { added: Some(format!("bias_hh_l{layer}")), ..bias },
        ]
    });
    let decoder = (!tie).then(|| place("decoder", "decoder.weight", &[vocab, features]));
    [place("embed", "encoder.weight", &[vocab, embedding])].into_iter().chain(layers).chain(decoder).chain([place(
        "bias",
        "decoder.bias",
        &[vocab],
    )])
}

/// Parameters under PyTorch's names.
///
/// # Errors
/// If they are not this model's.
pub fn tensors(parameters: &Parameters<f32>, model: &Model, vocab: usize) -> Result<Tensors> {
    let tensor = |Place { ours, torch, added: _, shape }| -> Result<(String, Tensor)> {
        let data = parameters.get(&ours).with_context(|| format!("there is no parameter `{ours}`: a defect"))?;
        Ok((torch, Tensor { shape, data: data.to_vec() }))
    };
    places(model, vocab).map(tensor).collect()
}

/// As [`tensors`], and what PyTorch has twice: second biases of zero, the weights of a tied softmax.
///
/// # Errors
/// As [`tensors`].
pub fn state_dict(parameters: &Parameters<f32>, model: &Model, vocab: usize) -> Result<Tensors> {
    let mut tensors = tensors(parameters, model, vocab)?;
    for Place { added, shape, .. } in places(model, vocab) {
        if let Some(added) = added {
            let data = vec![0.0; shape.iter().product()];
            tensors.insert(added, Tensor { shape, data });
        }
    }
    if let (true, Some(encoder)) = (model.tie, tensors.get("encoder.weight").cloned()) {
        tensors.insert("decoder.weight".to_owned(), encoder);
    }
    Ok(tensors)
}

/// The parameters of a model by our names.
pub struct Loaded(Vec<(String, Vec<f32>)>);

impl Loaded {
    /// Sets them.
    ///
    /// # Errors
    /// If they are another model's.
    pub fn store(self, parameters: &mut Parameters<f32>) -> Result<()> {
        for (name, values) in self.0 {
            let place = parameters.get_mut(&name).filter(|place| place.len() == values.len());
            place.with_context(|| format!("there is no such parameter `{name}`: a defect"))?.copy_from_slice(&values);
        }
        Ok(())
    }
}

/// Finds every parameter of a model, and nothing else, under PyTorch's names.
///
/// # Errors
/// If a tensor is missing, is there twice, has another shape or none to be.
pub fn parameters(mut tensors: Tensors, model: &Model, vocab: usize) -> Result<Loaded> {
    let mut loaded = Vec::new();
    for Place { ours, torch, added, shape } in places(model, vocab) {
        let check = |name: &str, tensor: &Tensor| -> Result<()> {
            ensure!(
                tensor.shape == shape,
                "`{name}` is {:?}, but the configuration (model.*, and the vocabulary of {vocab}) makes it {shape:?}",
                tensor.shape
            );
            Ok(())
        };
        let (name, mut tensor) = take(&mut tensors, &torch)?
            .with_context(|| format!("there is no `{torch}`; the configuration asks for {} layers", model.layers))?;
        check(&name, &tensor)?;
        if let Some(added) = added
            && let Some((name, more)) = take(&mut tensors, &added)?
        {
            check(&name, &more)?;
            // Zero is left out, because it would turn -0 to 0.
            let pairs = tensor.data.iter_mut().zip(more.data).filter(|(_, more)| *more != 0.0);
            pairs.for_each(|(value, more)| *value += more);
        }
        if model.tie
            && torch == "encoder.weight"
            && let Some((name, twin)) = take(&mut tensors, "decoder.weight")?
        {
            ensure!(twin == tensor, "`{name}` is not the embedding's: set model.tie = false");
        }
        loaded.push((ours, tensor.data));
    }
    if let Some(name) = tensors.keys().next() {
        bail!("the configuration has no place for the tensor `{name}`: leave it out, or change model.*");
    }
    Ok(Loaded(loaded))
}

/// Takes the one tensor that is called `name`, behind any path of modules.
fn take(tensors: &mut Tensors, name: &str) -> Result<Option<(String, Tensor)>> {
    let is_it = |key: &str| key.strip_suffix(name).is_some_and(|path| path.is_empty() || path.ends_with('.'));
    let mut found = tensors.keys().filter(|key| is_it(key));
    let Some(key) = found.next().cloned() else { return Ok(None) };
    if let Some(other) = found.next() {
        bail!("`{key}` and `{other}` could both be `{name}`: leave one out");
    }
    Ok(tensors.remove_entry(&key))
}
