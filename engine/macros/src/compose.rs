//! Composition: what an item exports, and how `use` brings items of other invocations, files and crates in.
//!
//! A macro sees its own tokens only. So every item also becomes a macro of its name, which passes its *closure* (its
//! own tokens and those of all it refers to) on to whoever calls it: `graph!` with a `use path::Item;` expands to
//! `path::Item! { state }`, which expands to `__import! { { closure } KEY state }`, which goes on with the next `use`
//! and, after the last one, expands the items.

use crate::ast::Item;
use crate::error::{Diagnostics, Range};
use crate::parse::{Head, Import, Source, parse_invocation, parse_source};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use std::collections::{BTreeMap, BTreeSet};
use syn::parse::{ParseStream, Parser, Result};

/// An item and the items it can name.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) tokens: TokenStream,
    /// None if the item is known to be wrong; whoever uses it then says nothing more.
    pub(crate) item: Option<Item>,
    /// The units by the names that the item may use for them.
    pub(crate) scope: BTreeMap<String, String>,
    /// Defined in this invocation.
    pub(crate) local: bool,
}

/// All units of an invocation, its own and the imported ones, by key.
#[derive(Default, Debug)]
pub(crate) struct Units {
    pub(crate) all: BTreeMap<String, Unit>,
    /// Keys of its own items in the order of the source, with what a stub of each needs.
    pub(crate) own: Vec<(String, Ident, Head)>,
}

/// An invocation on its way through its imports.
struct State {
    pending: Vec<Import>,
    /// Imported names and their keys.
    imported: Vec<(Ident, Ident)>,
    units: TokenStream,
    source: TokenStream,
}

impl ToTokens for State {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let (paths, names) = (self.pending.iter().map(|i| &i.path), self.pending.iter().map(|i| &i.name));
        let (local, keys): (Vec<_>, Vec<_>) = self.imported.iter().cloned().unzip();
        let (units, source) = (&self.units, &self.source);
        tokens.extend(quote!({ #({ #paths } #names)* } { #(#local #keys)* } { #units } { #source }));
    }
}

fn parse_braced(input: ParseStream) -> Result<TokenStream> {
    let group: Group = input.parse()?;
    if group.delimiter() == Delimiter::Brace { Ok(group.stream()) } else { Err(input.error("expected braces")) }
}

fn parse_pairs(input: ParseStream) -> Result<Vec<(Ident, Ident)>> {
    let mut pairs = Vec::new();
    while !input.is_empty() {
        pairs.push((input.parse()?, input.parse()?));
    }
    Ok(pairs)
}

fn parse_state(input: ParseStream) -> Result<State> {
    let pending = |input: ParseStream| {
        let mut pending = Vec::new();
        while !input.is_empty() {
            pending.push(Import { path: parse_braced(input)?, name: input.parse()? });
        }
        Ok(pending)
    };
    Ok(State {
        pending: pending.parse2(parse_braced(input)?)?,
        imported: parse_pairs.parse2(parse_braced(input)?)?,
        units: parse_braced(input)?,
        source: parse_braced(input)?,
    })
}

/// What an invocation comes to: the next import, or all units.
pub(crate) enum Step {
    Import(TokenStream),
    Ready(Units),
}

/// Starts `graph! { source }`.
pub(crate) fn begin(source: TokenStream, errors: &mut Diagnostics) -> Step {
    let (pending, _) = parse_invocation(source.clone(), &mut Diagnostics::default());
    go_on(State { pending, imported: Vec::new(), units: TokenStream::new(), source }, errors)
}

/// Goes on after an import: `{ closure } KEY state`, the name imported being the first one pending.
pub(crate) fn resume(tokens: TokenStream, errors: &mut Diagnostics) -> Result<Step> {
    let parse = |input: ParseStream| Ok((parse_braced(input)?, input.parse::<Ident>()?, parse_state(input)?));
    let (closure, key, mut state) = parse.parse2(tokens)?;
    state.units.extend(closure);
    let import = state.pending.remove(0);
    state.imported.push((import.name, key));
    Ok(go_on(state, errors))
}

fn go_on(state: State, errors: &mut Diagnostics) -> Step {
    match state.pending.first() {
        Some(Import { path, .. }) => Step::Import(quote!(#path! { #state })),
        None => Step::Ready(gather(state, errors)),
    }
}

fn gather(state: State, errors: &mut Diagnostics) -> Units {
    let mut units = Units::default();
    if let Err(error) = (|input: ParseStream| parse_units(input, &mut units.all)).parse2(state.units) {
        errors.report_syn(error, Span::call_site());
    }
    let (_, sources) = parse_invocation(state.source, errors);
    let mut namespace: BTreeMap<String, String> = BTreeMap::new();
    let declared = state.imported.iter().map(|(name, key)| (name, key.to_string()));
    let keyed: Vec<(String, Source)> = sources.into_iter().map(|s| (key(&s), s)).collect();
    for (name, key) in declared.chain(keyed.iter().map(|(key, s)| (&s.name, key.clone()))) {
        if namespace.insert(name.to_string(), key).is_some() {
            errors.report(Range::from(name), format!("`{name}` is declared twice in this graph"));
        }
    }
    for (key, Source { tokens, name, item, head }) in keyed {
        let mut words = BTreeSet::new();
        collect_words(&tokens, &mut words);
        let scope = namespace.iter().filter(|(n, _)| words.contains(*n)).map(|(n, k)| (n.clone(), k.clone()));
        let unit = Unit { name: name.to_string(), tokens, item, scope: scope.collect(), local: true };
        units.all.insert(key.clone(), unit);
        units.own.push((key, name, head));
    }
    units
}

/// `KEY NAME { scope } { tokens }`, no tokens for an item that is wrong.
fn parse_units(input: ParseStream, into: &mut BTreeMap<String, Unit>) -> Result<()> {
    while !input.is_empty() {
        let key: Ident = input.parse()?;
        let name: Ident = input.parse()?;
        let scope = parse_pairs.parse2(parse_braced(input)?)?;
        let tokens = parse_braced(input)?;
        let item = if tokens.is_empty() { None } else { Some(parse_source(tokens.clone())?) };
        let scope = scope.into_iter().map(|(n, k)| (n.to_string(), k.to_string())).collect();
        into.insert(key.to_string(), Unit { name: name.to_string(), tokens, item, scope, local: false });
    }
    Ok(())
}

fn collect_words(tokens: &TokenStream, into: &mut BTreeSet<String>) {
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(ident) => {
                into.insert(ident.to_string());
            }
            TokenTree::Group(group) => collect_words(&group.stream(), into),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// A name no other item has: its own, and a hash of where and what it is.
fn key(source: &Source) -> String {
    let mut text = source.tokens.to_string();
    if proc_macro::is_available() {
        let span = source.name.span().unwrap();
        text += &format!("{} {} {}", span.file(), span.line(), span.column());
        text += &std::env::var("CARGO_CRATE_NAME").unwrap_or_default();
        text += &std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    }
    // FNV-1a.
    let hash =
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{}_{hash:016x}", source.name)
}

/// The macro by which later invocations import the unit.
pub(crate) fn expand_export(units: &Units, key: &str, name: &Ident, head: &Head) -> TokenStream {
    let mut closure = vec![key.to_owned()];
    let mut next = 0;
    while let Some(unit) = closure.get(next).and_then(|k| units.all.get(k)) {
        for needed in unit.scope.values() {
            if !closure.contains(needed) {
                closure.push(needed.clone());
            }
        }
        next += 1;
    }
    let carried: TokenStream = closure.iter().filter_map(|k| Some(expand_unit(k, units.all.get(k)?))).collect();
    let callback = format_ident!("__g2_item_{key}", span = Span::call_site());
    let key = Ident::new(key, Span::call_site());
    let visibility = &head.visibility;
    let everywhere = head.public.then(|| quote!(#[macro_export]));
    quote! {
        #[doc(hidden)]
        #everywhere
        #[allow(unused_macros, non_local_definitions)]
        macro_rules! #callback {
            ($($state:tt)*) => { ::g2_engine::__import! { { #carried } #key $($state)* } };
        }
        #[doc(hidden)]
        #[allow(unused_imports)]
        #visibility use #callback as #name;
    }
}

fn expand_unit(key: &str, unit: &Unit) -> TokenStream {
    let ident = |name: &str| Ident::new(name, Span::call_site());
    let (key, name) = (ident(key), ident(&unit.name));
    let (names, keys): (Vec<_>, Vec<_>) = unit.scope.iter().map(|(n, k)| (ident(n), ident(k))).unzip();
    let tokens = unit.item.is_some().then_some(&unit.tokens);
    quote!(#key #name { #(#names #keys)* } { #tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn an_import_carries_its_closure_across_invocations() {
        let mut errors = Diagnostics::default();
        let tokens = |s: &str| TokenStream::from_str(s).unwrap();
        let Step::Ready(first) = begin(tokens("pub fn f(x) = g(x); fn g(x) = x; fn unrelated(x) = x;"), &mut errors)
        else {
            panic!("nothing to import");
        };
        let (key, name, head) = &first.own[0];
        let export = expand_export(&first, key, name, head).to_string();
        assert!(export.contains("macro_export") && !export.contains("unrelated"), "{export}");

        let Step::Import(call) = begin(tokens("use a::f as h; fn k(x) = h(x);"), &mut errors) else {
            panic!("an import is pending");
        };
        let text = call.to_string();
        let state = text.strip_prefix("a :: f ! {").and_then(|t| t.strip_suffix('}')).unwrap();
        let closure: TokenStream =
            first.all.iter().filter(|(_, u)| u.name != "unrelated").map(|(k, u)| expand_unit(k, u)).collect();
        let resumed = tokens(&format!("{{ {closure} }} {key} {state}"));
        let Step::Ready(second) = resume(resumed, &mut errors).unwrap() else { panic!("nothing more to import") };
        assert_eq!(errors.messages(), [""; 0]);
        let k = &second.all[&second.own[0].0];
        assert_eq!(second.all[&k.scope["h"]].name, "f");
        assert_eq!(second.all[&second.all[&k.scope["h"]].scope["g"]].name, "g");
    }
}
