//! Tokens to syntax: an invocation is cut into items first, so that a wrong item does not hide the others.

mod expr;

use crate::ast::*;
use crate::error::{Diagnostics, Range};
use expr::{parse_block, parse_expr};
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser, Result};
use syn::punctuated::Punctuated;
use syn::{Token, bracketed, parenthesized, token};

/// `use path as name;`, one for each name.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) path: TokenStream,
    pub(crate) name: Ident,
}

/// An item with the tokens it was parsed from; without its syntax if they do not parse.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) tokens: TokenStream,
    pub(crate) name: Ident,
    /// What the item is, if its tokens parse.
    pub(crate) item: Option<Item>,
    /// What a stub of it needs.
    pub(crate) head: Head,
}

/// What is known of an item before its body is parsed.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) attributes: TokenStream,
    pub(crate) visibility: TokenStream,
    /// Visible to other crates.
    pub(crate) public: bool,
    /// `fn`, `cell` or `model`
    pub(crate) keyword: String,
}

/// Cuts an invocation into its imports and its items.
pub(crate) fn parse_invocation(tokens: TokenStream, errors: &mut Diagnostics) -> (Vec<Import>, Vec<Source>) {
    let (mut imports, mut sources) = (Vec::new(), Vec::new());
    for chunk in chunks(tokens) {
        let end = chunk.clone().into_iter().last().map_or_else(Span::call_site, |token| token.span());
        if starts_with_use(&chunk) {
            match syn::parse2::<syn::ItemUse>(chunk) {
                Ok(item) => {
                    let prefix = item.leading_colon.to_token_stream();
                    flatten_use(prefix, &item.tree, &mut imports, errors);
                }
                Err(error) => errors.report_syn(error, end),
            }
            continue;
        }
        match parse_head.parse2(chunk.clone()) {
            Ok((head, name)) => {
                let item = parse_item.parse2(chunk.clone()).map_err(|e| errors.report_syn(e, end)).ok();
                sources.push(Source { tokens: chunk, name, item, head });
            }
            Err(error) => errors.report_syn(error, end),
        }
    }
    (imports, sources)
}

/// Whether the chunk is a `use`, after attributes and visibility.
fn starts_with_use(chunk: &TokenStream) -> bool {
    let starts = |input: ParseStream| -> Result<bool> {
        input.call(syn::Attribute::parse_outer)?;
        input.parse::<syn::Visibility>()?;
        let starts = input.peek(Token![use]);
        input.parse::<TokenStream>()?;
        Ok(starts)
    };
    starts.parse2(chunk.clone()).unwrap_or(false)
}

/// One item's tokens from an export.
pub(crate) fn parse_source(tokens: TokenStream) -> Result<Item> {
    parse_item.parse2(tokens)
}

/// Each item ends with a `;`, or with a brace group if no `=` and no `use` stands before it.
fn chunks(tokens: TokenStream) -> Vec<TokenStream> {
    let mut chunks = Vec::new();
    let mut chunk: Vec<TokenTree> = Vec::new();
    let mut until_semicolon = false;
    for token in tokens {
        let ends = match &token {
            TokenTree::Punct(p) if p.as_char() == ';' => true,
            TokenTree::Punct(p) if p.as_char() == '=' => {
                until_semicolon = true;
                false
            }
            TokenTree::Ident(i) if i == "use" => {
                until_semicolon = true;
                false
            }
            TokenTree::Group(g) => g.delimiter() == Delimiter::Brace && !until_semicolon,
            _ => false,
        };
        chunk.push(token);
        if ends {
            chunks.push(chunk.drain(..).collect());
            until_semicolon = false;
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk.into_iter().collect());
    }
    chunks
}

fn flatten_use(prefix: TokenStream, tree: &syn::UseTree, into: &mut Vec<Import>, errors: &mut Diagnostics) {
    match tree {
        syn::UseTree::Path(path) => {
            let (ident, colons) = (&path.ident, &path.colon2_token);
            flatten_use(quote::quote!(#prefix #ident #colons), &path.tree, into, errors);
        }
        syn::UseTree::Name(name) => {
            let ident = &name.ident;
            into.push(Import { path: quote::quote!(#prefix #ident), name: ident.clone() });
        }
        syn::UseTree::Rename(rename) => {
            let ident = &rename.ident;
            into.push(Import { path: quote::quote!(#prefix #ident), name: rename.rename.clone() });
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten_use(prefix.clone(), tree, into, errors);
            }
        }
        syn::UseTree::Glob(glob) => {
            errors.report(glob.star_token.spans[0], "a graph imports items by name; write them out instead of `*`");
        }
    }
}

fn parse_head(input: ParseStream) -> Result<(Head, Ident)> {
    let attributes = input.call(syn::Attribute::parse_outer)?;
    let attributes = attributes.iter().map(ToTokens::to_token_stream).collect();
    let visibility: syn::Visibility = input.parse()?;
    let found: Ident = match input.parse::<Option<Token![fn]>>()? {
        Some(token) => Ident::new("fn", token.span),
        None => input.call(syn::ext::IdentExt::parse_any).map_err(|e| wants_item(e.span()))?,
    };
    let keyword = found.to_string();
    if !["fn", "cell", "model"].contains(&keyword.as_str()) {
        return Err(wants_item(found.span()));
    }
    let name = input.parse()?;
    input.parse::<TokenStream>()?;
    let public = matches!(visibility, syn::Visibility::Public(_));
    Ok((Head { attributes, visibility: visibility.to_token_stream(), public, keyword }, name))
}

fn wants_item(span: Span) -> syn::Error {
    syn::Error::new(span, "a graph holds `use`, `fn`, `cell` and `model` items")
}

fn parse_item(input: ParseStream) -> Result<Item> {
    input.call(syn::Attribute::parse_outer)?;
    input.parse::<syn::Visibility>()?;
    if input.parse::<Option<Token![fn]>>()?.is_some() {
        let name = input.parse()?;
        let kind = ItemKind::Fn(parse_fn(input)?);
        return Ok(Item { name, kind });
    }
    let keyword: Ident = input.parse()?;
    let name = input.parse()?;
    let kind = if keyword == "cell" { ItemKind::Cell(parse_cell(input)?) } else { parse_model(input)? };
    Ok(Item { name, kind })
}

fn parse_fn(input: ParseStream) -> Result<Function> {
    let inner;
    parenthesized!(inner in input);
    let parameters = Punctuated::<Ident, Token![,]>::parse_terminated(&inner)?.into_iter().collect();
    let body = if input.peek(token::Brace) {
        parse_block(input)?
    } else {
        input.parse::<Token![=]>()?;
        let body = parse_expr(input)?;
        input.parse::<Token![;]>()?;
        body
    };
    Ok(Function { parameters, body })
}

fn parse_dims(input: ParseStream) -> Result<Vec<Ident>> {
    if !input.peek(token::Bracket) {
        return Ok(Vec::new());
    }
    let inner;
    bracketed!(inner in input);
    Ok(Punctuated::<Ident, Token![,]>::parse_terminated(&inner)?.into_iter().collect())
}

fn parse_cell(input: ParseStream) -> Result<Cell> {
    let dims = parse_dims(input)?;
    let inner;
    syn::braced!(inner in input);
    let (mut decls, mut statements, mut next) = (Vec::new(), Vec::new(), None);
    while !inner.is_empty() {
        if parse_decls(&inner, &mut decls)? {
            continue;
        }
        if inner.peek(syn::Ident) && inner.fork().parse::<Ident>()? == "next" {
            let keyword: Ident = inner.parse()?;
            let value = parse_expr(&inner)?;
            inner.parse::<Option<Token![;]>>()?;
            let range = Range::from(&keyword).to(value.range);
            let values = if let ExprKind::List(values) = value.kind { values } else { vec![value] };
            if let Some(Next { .. }) = next.replace(Next { values, range }) {
                return Err(syn::Error::new(keyword.span(), "`next` stands once, at the end of a cell"));
            }
            continue;
        }
        parse_statement(&inner, &mut statements)?;
    }
    Ok(Cell { dims, decls, statements, next })
}

fn parse_model(input: ParseStream) -> Result<ItemKind> {
    if input.parse::<Option<Token![=]>>()?.is_some() {
        let template: Ident = input.parse()?;
        let mut range = Range::from(&template);
        let mut cells = Vec::new();
        if input.parse::<Option<Token![<]>>()?.is_some() {
            cells = Punctuated::<Ident, Token![,]>::parse_separated_nonempty(input)?.into_iter().collect();
            range = range.to(input.parse::<Token![>]>()?.span.into());
        }
        input.parse::<Token![;]>()?;
        return Ok(ItemKind::Instance { template, cells, range });
    }
    let mut templates = Vec::new();
    if input.parse::<Option<Token![<]>>()?.is_some() {
        templates = Punctuated::<Ident, Token![,]>::parse_separated_nonempty(input)?.into_iter().collect();
        input.parse::<Token![>]>()?;
    }
    let dims = parse_dims(input)?;
    let inner;
    syn::braced!(inner in input);
    let (mut decls, mut statements) = (Vec::new(), Vec::new());
    while !inner.is_empty() {
        if !parse_decls(&inner, &mut decls)? {
            parse_statement(&inner, &mut statements)?;
        }
    }
    Ok(ItemKind::Model(Model { templates, dims, decls, statements }))
}

/// `input x: [batch, input], ids: index [batch];` and the like, if the input begins with one.
fn parse_decls(input: ParseStream, into: &mut Vec<Decl>) -> Result<bool> {
    let Ok(keyword) = input.fork().parse::<Ident>() else { return Ok(false) };
    let kinds = [DeclKind::Input, DeclKind::Outer, DeclKind::State, DeclKind::Param, DeclKind::Hyper];
    let Some(kind) = kinds.into_iter().find(|k| keyword == k.keyword()) else { return Ok(false) };
    // `x.input`, `input + 1` and so on are expressions.
    if !input.peek2(syn::Ident) {
        return Ok(false);
    }
    input.parse::<Ident>()?;
    loop {
        let name = input.parse()?;
        let (mut index, mut shape) = (false, Vec::new());
        if kind != DeclKind::Hyper {
            input.parse::<Token![:]>()?;
            if input.peek(syn::Ident) {
                let dtype: Ident = input.parse()?;
                index = dtype == "index";
                if !index {
                    return Err(syn::Error::new(dtype.span(), "expected a shape, or `index` and a shape"));
                }
                if kind != DeclKind::Input && kind != DeclKind::Outer {
                    return Err(syn::Error::new(dtype.span(), "only an input can hold indices"));
                }
            }
            let inner;
            bracketed!(inner in input);
            shape = parse_list(&inner)?;
        }
        into.push(Decl { kind, name, index, shape });
        if input.parse::<Option<Token![,]>>()?.is_none() {
            break;
        }
    }
    input.parse::<Token![;]>()?;
    Ok(true)
}

fn parse_list(input: ParseStream) -> Result<Vec<Expr>> {
    Ok(Punctuated::<Expr, Token![,]>::parse_terminated_with(input, parse_expr)?.into_iter().collect())
}

/// `let`, `output` or `loss`.
fn parse_statement(input: ParseStream, into: &mut Vec<Statement>) -> Result<()> {
    if input.parse::<Option<Token![let]>>()?.is_some() {
        let pattern = parse_pattern(input)?;
        input.parse::<Token![=]>()?;
        let value = parse_expr(input)?;
        input.parse::<Token![;]>()?;
        into.push(Statement::Let { pattern, value });
        return Ok(());
    }
    let keyword: Ident = input.parse().map_err(|e| wants_statement(e.span()))?;
    if keyword == "loss" {
        if input.peek(Token![=]) {
            return Err(input.error("a loss has no name: write `loss sum(x);`"));
        }
        let value = parse_expr(input)?;
        input.parse::<Token![;]>()?;
        into.push(Statement::Loss(value));
    } else if keyword == "output" {
        loop {
            let name: Ident = input.parse()?;
            let value = match input.parse::<Option<Token![=]>>()? {
                Some(_) => parse_expr(input)?,
                None => Expr { range: Range::from(&name), kind: ExprKind::Name(name.clone()) },
            };
            into.push(Statement::Output { name, value });
            if input.parse::<Option<Token![,]>>()?.is_none() {
                break;
            }
        }
        input.parse::<Token![;]>()?;
    } else {
        return Err(wants_statement(keyword.span()));
    }
    Ok(())
}

fn wants_statement(span: Span) -> syn::Error {
    syn::Error::new(
        span,
        "expected a declaration (`input`, `outer`, `state`, `param`, `hyper`), `let`, `output`, `loss` (in a model) or \
         `next` (in a cell)",
    )
}

fn parse_pattern(input: ParseStream) -> Result<Pattern> {
    let inner;
    let range = if input.peek(token::Bracket) {
        Range::from(bracketed!(inner in input).span.join())
    } else if input.peek(token::Paren) {
        Range::from(parenthesized!(inner in input).span.join())
    } else {
        return Ok(Pattern::Name(input.parse()?));
    };
    let names = Punctuated::<Ident, Token![,]>::parse_terminated(&inner)?.into_iter().collect();
    Ok(Pattern::List(names, range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn check(source: &str, names: &[&str], messages: &[&str]) {
        let mut errors = Diagnostics::default();
        let (imports, sources) = parse_invocation(TokenStream::from_str(source).unwrap(), &mut errors);
        let found: Vec<String> =
            imports.iter().map(|i| i.name.to_string()).chain(sources.iter().map(|s| s.name.to_string())).collect();
        assert_eq!(found, names);
        assert_eq!(errors.messages(), messages);
    }

    #[test]
    fn items_are_found_each_by_itself() {
        check(
            "use a::b::{C, d as e}; pub fn f(x) = if training { x } else { -x }; fn g(x) { let y = x; y }",
            &["C", "e", "f", "g"],
            &[],
        );
        check("cell A[n] { input x: [n]; next (x) } model B<C>[n] {} pub model D = B<A>;", &["A", "B", "D"], &[]);
    }

    #[test]
    fn a_wrong_item_does_not_hide_the_next_one() {
        check(
            "fn f(x) = ; fn g(x) = x + 'a; fn h(x) = x;",
            &["f", "g", "h"],
            // The second is the same text; without a compiler spans are all alike.
            &["expected an expression"],
        );
        check(
            "struct X; use a::*;",
            &[],
            &[
                "a graph holds `use`, `fn`, `cell` and `model` items",
                "a graph imports items by name; write them out instead of `*`",
            ],
        );
    }
}
