//! Programs to Rust: the encoded graph, and for each fused region one function over `T: Real`.

use crate::lower::Programs;
use g2_ir::fuse::regions;
use g2_ir::{Graph, Map, NodeId, Op, Program, Region};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use std::str::FromStr;

/// A unit struct that carries an item's docs.
pub(crate) fn expand_carrier(attributes: &TokenStream, visibility: &TokenStream, name: &Ident) -> TokenStream {
    quote!(#attributes #[allow(dead_code)] #visibility struct #name;)
}

/// The `Model` implementation; without programs for a model that is wrong.
pub(crate) fn expand_model(name: &Ident, programs: Option<&Programs>) -> TokenStream {
    let mut kernels = Kernels::default();
    let text = name.to_string();
    let mut expand = |mode: &str, program: Option<&Program>| match program {
        Some(program) => {
            let compiled = kernels.expand_compiled(&format!("{text}.{mode}"), program);
            quote!(::core::option::Option::Some(&#compiled))
        }
        None => quote!(::core::option::Option::None),
    };
    let training = expand("training", programs.and_then(|p| p.training.as_ref()));
    let sampling = expand("sampling", programs.map(|p| &p.sampling));
    let evaluation = expand("evaluation", programs.map(|p| &p.evaluation));
    let structs = kernels.structs;
    quote! {
        #[cfg(not(target_arch = "nvptx64"))]
        const _: () = {
            #structs
            impl ::g2_engine::Model for #name {
                const DEFINITION: &'static ::g2_engine::Definition = {
                    const TRAINING: ::core::option::Option<&'static ::g2_engine::Compiled> = #training;
                    const SAMPLING: ::core::option::Option<&'static ::g2_engine::Compiled> = #sampling;
                    const EVALUATION: ::core::option::Option<&'static ::g2_engine::Compiled> = #evaluation;
                    &::g2_engine::Definition {
                        name: #text,
                        training: TRAINING,
                        sampling: SAMPLING,
                        evaluation: EVALUATION,
                    }
                };
            }
        };
    }
}

/// One kernel for each primitive and one for a lone uniform: what runs a graph unfused.
pub(crate) fn expand_primitives() -> TokenStream {
    let mut kernels = Kernels::default();
    let mut all = Vec::new();
    for map in Map::ALL {
        let row = map.row();
        let lanes: Vec<TokenStream> = (0..row.arity).map(|k| operand("x", k)).collect();
        let value = expand_map(map, &lanes);
        all.push(kernels.expand_kernel(row.name, [row.arity, 0, 0, 1], quote!([#value])));
    }
    all.push(kernels.expand_kernel("uniform", [0, 0, 1, 1], quote!([u[0]])));
    let structs = kernels.structs;
    quote! {
        /// A kernel for each primitive in the order of `Map::ALL`, and the last for a lone uniform.
        pub static PRIMITIVES: &[::g2_engine::Kernel] = {
            #structs
            &[#(#all),*]
        };
    }
}

/// The region structs made so far; equal ones are made once.
#[derive(Default)]
struct Kernels {
    structs: TokenStream,
    /// (arity and code, name)
    known: Vec<(String, Ident)>,
}

impl Kernels {
    fn expand_compiled(&mut self, name: &str, program: &Program) -> TokenStream {
        let bytes = Literal::byte_string(&program.encode());
        let kernels: Vec<TokenStream> = regions(program)
            .into_iter()
            .map(|(graph, region)| {
                let arity = [region.lanes.len(), region.scalars.len(), region.noise.len(), region.outputs.len()];
                let body = expand_region(graph, region);
                self.expand_kernel(&format!("{name}.{}", region.kernel), arity, body)
            })
            .collect();
        quote!(::g2_engine::Compiled { program: #bytes, kernels: &[#(#kernels),*] })
    }

    fn expand_kernel(&mut self, name: &str, arity: [usize; 4], body: TokenStream) -> TokenStream {
        let [x, s, u, y] = arity.map(Literal::usize_unsuffixed);
        let code = format!("{arity:?} {body}");
        let known = self.known.iter().find(|(c, _)| *c == code).map(|(_, ident)| ident.clone());
        let region = known.unwrap_or_else(|| {
            let region = format_ident!("Region{}", self.known.len());
            self.structs.extend(quote! {
                struct #region;
                impl ::g2_engine::region::Region<#x, #s, #u, #y> for #region {
                    #[inline(always)]
                    #[allow(unused_variables, clippy::all)]
                    fn eval<T: ::g2_engine::real::Real>(x: [T; #x], s: [T; #s], u: [T; #u]) -> [T; #y] { #body }
                }
            });
            self.known.push((code, region.clone()));
            region
        });
        quote!(::g2_engine::Kernel::new::<#region, #x, #s, #u, #y>(#name))
    }
}

/// The region's nodes, one `let` each, and its outputs.
fn expand_region(graph: &Graph, region: &Region) -> TokenStream {
    // Numbered within the region, so that equal regions have equal code.
    let local = |id: NodeId| region.nodes.iter().position(|&n| n == id).map(|k| format_ident!("v{k}"));
    let read = |id: NodeId| -> TokenStream {
        if let Some(name) = local(id) {
            return quote!(#name);
        }
        if let Some(k) = region.lanes.iter().position(|&n| n == id) {
            return operand("x", k);
        }
        if let Some(k) = region.scalars.iter().position(|&n| n == id) {
            return operand("s", k);
        }
        expand_number(graph.constant(id).expect("a value that is neither read nor computed is a constant"))
    };
    let mut body = TokenStream::new();
    for &id in &region.nodes {
        let node = graph.node(id);
        let name = local(id);
        let value = match &node.op {
            Op::Map(map) => expand_map(*map, &node.args.iter().map(|&a| read(a)).collect::<Vec<_>>()),
            _ => {
                let k = region.noise.iter().position(|&n| n == id).expect("a region lists its draws");
                operand("u", k)
            }
        };
        body.extend(quote!(let #name = #value;));
    }
    let outputs = region.outputs.iter().map(|&id| read(id));
    quote!(#body [#(#outputs),*])
}

fn expand_number(value: f64) -> TokenStream {
    if !value.is_finite() {
        let bits = Literal::u64_suffixed(value.to_bits());
        return quote!(T::from_f64(f64::from_bits(#bits)));
    }
    let size = Literal::f64_suffixed(value.abs());
    // The sign bit, not `< 0`: -0.0 is another number.
    if value.is_sign_negative() { quote!(T::from_f64(-#size)) } else { quote!(T::from_f64(#size)) }
}

fn operand(array: &str, k: usize) -> TokenStream {
    let (array, k) = (format_ident!("{array}"), Literal::usize_unsuffixed(k));
    quote!(#array[#k])
}

/// The primitive's code with its arguments bound to `a`, `b`, `c`.
fn expand_map(map: Map, args: &[TokenStream]) -> TokenStream {
    let code = TokenStream::from_str(map.row().code).expect("the code of a primitive is Rust");
    let names = ["a", "b", "c"].map(|name| format_ident!("{name}"));
    let names = &names[..args.len()];
    quote!({ let (#(#names,)*) = (#(#args,)*); #code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_one_let_a_node() {
        use g2_ir::{Dim, Leaf, LeafKind, Mode, Per, Shape, Type, graph::Output};
        let mut graph = Graph::new();
        let shape = Shape(vec![Dim::symbol("n")]);
        let (x, tau) = (graph.arg(Type::real(shape.clone())), graph.arg(Type::real(Shape::scalar())));
        let u = graph.uniform(0, Per::Step, shape.clone());
        let spread = graph.broadcast_scalar(tau, shape);
        let minus = graph.full_like(-0.5, x);
        let sum = graph.add(x, u);
        let quotient = graph.div(sum, spread);
        let y = graph.mul(quotient, minus);
        graph.outputs = vec![y];
        let leaf = |name: &str, kind| Leaf { name: name.to_owned(), kind };
        let leaves = vec![leaf("x", LeafKind::Input), leaf("tau", LeafKind::Hyper)];
        let outputs = vec![Output::Named("y".to_owned())];
        let program = Program { name: "M".to_owned(), mode: Mode::Sampling, graph, leaves, outputs };
        let program = g2_ir::compile(program).unwrap();
        let [(graph, region)] = regions(&program)[..] else { panic!("one region") };
        let expected = quote! {
            let v0 = u[0];
            let v1 = { let (a, b,) = (x[0], v0,); a + b };
            let v2 = { let (a, b,) = (v1, s[0],); a / b };
            let v3 = { let (a, b,) = (v2, T::from_f64(-0.5f64),); a * b };
            [v3]
        };
        assert_eq!(expand_region(graph, region).to_string(), expected.to_string());
    }

    #[test]
    fn numbers_keep_their_bits() {
        assert_eq!(expand_number(-0.0).to_string(), "T :: from_f64 (- 0f64)");
        assert!(expand_number(f64::INFINITY).to_string().contains("9218868437227405312u64"));
    }

    #[test]
    fn equal_regions_are_one_struct() {
        let mut kernels = Kernels::default();
        kernels.expand_kernel("a", [1, 0, 0, 1], quote!([x[0]]));
        kernels.expand_kernel("b", [1, 0, 0, 1], quote!([x[0]]));
        assert_eq!(kernels.known.len(), 1);
    }

    #[test]
    fn every_primitive_has_a_kernel() {
        let file: syn::File = syn::parse2(expand_primitives()).unwrap();
        assert_eq!(file.items.len(), 1);
        let kernels = expand_primitives().to_string().matches("Kernel :: new").count();
        assert_eq!(kernels, Map::ALL.len() + 1);
    }
}
