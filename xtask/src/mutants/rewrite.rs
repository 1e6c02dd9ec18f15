//! Builds deliberate mistakes into a source file, each behind a switch.
//!
//! All mutants of a file are in one program, which does what the original does until a switch is
//! on. So a single build serves them all.

use anyhow::Result;
use proc_macro2::Span;
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, BinOp, Expr, FnArg, ReturnType, Signature, Stmt, Type, parse_quote};

/// Methods whose first argument is a predicate.
const PREDICATES: [&str; 11] = [
    "all",
    "any",
    "filter",
    "find",
    "is_none_or",
    "is_some_and",
    "partition",
    "position",
    "retain",
    "skip_while",
    "take_while",
];
/// Methods of the same signature and the opposite meaning.
const OPPOSITES: [(&str, &str); 4] =
    [("all", "any"), ("any", "all"), ("max", "min"), ("min", "max")];

/// A deliberate mistake.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    /// Value of the switch.
    pub(crate) number: usize,
    /// Path of the file in the repository.
    pub(crate) file: String,
    pub(crate) line: usize,
    /// What is wrong in this line.
    pub(crate) change: String,
}

/// Adds the mutants of a file to `mutants`, and returns the file with their switches.
pub(crate) fn rewrite(file: &str, text: &str, mutants: &mut Vec<Mutant>) -> Result<String> {
    let mut tree = syn::parse_file(text)?;
    Rewriter { file, mutants }.visit_file_mut(&mut tree);
    Ok(tree.into_token_stream().to_string())
}

struct Rewriter<'a> {
    file: &'a str,
    mutants: &'a mut Vec<Mutant>,
}

impl Rewriter<'_> {
    /// Adds a mutant, and returns the expression that is true if it is on.
    fn switch(&mut self, line: usize, change: impl Into<String>) -> Expr {
        let number = self.mutants.len() + 1;
        self.mutants.push(Mutant {
            number,
            file: self.file.to_owned(),
            line,
            change: change.into(),
        });
        parse_quote!(crate::mutant::is_on(#number))
    }

    /// Negates a condition, unless it binds variables.
    fn negate(&mut self, condition: &mut Expr, line: usize) {
        if !binds(condition) {
            let on = self.switch(line, "condition negated");
            *condition = parse_quote!((#on ^ (#condition)));
        }
    }

    /// Drops an operand of `&&` or `||`.
    fn drop_operand(&mut self, operand: &mut Expr, line: usize, of_and: bool) {
        let is_chain = matches!(operand, Expr::Binary(inner) if is_logical(&inner.op));
        if is_chain || binds(operand) {
            return;
        }
        let on = self
            .switch(line, if of_and { "operand of && dropped" } else { "operand of || dropped" });
        *operand = match of_and {
            true => parse_quote!((#on || (#operand))),
            false => parse_quote!((!#on && (#operand))),
        };
    }

    /// Lets a function return early with values that are often wrong.
    fn return_early(&mut self, signature: &Signature, body: &mut syn::Block) {
        if signature.constness.is_some() || signature.asyncness.is_some() {
            return;
        }
        let name = &signature.ident;
        let values: &[&str] = match &signature.output {
            ReturnType::Default if changes_an_argument(signature) => &["()"],
            ReturnType::Type(_, returned) => match type_name(returned).as_str() {
                "bool" => &["true", "false"],
                "Option" => &["None"],
                "Vec" | "BTreeMap" | "BTreeSet" | "String" => &["Default::default()"],
                _ => &[],
            },
            ReturnType::Default => &[],
        };
        for value in values {
            let on = self.switch(line_of(name.span()), format!("{name} returns {value}"));
            let value: Expr = syn::parse_str(value).unwrap_or_else(|_| parse_quote!(()));
            body.stmts.insert(0, parse_quote!(if #on { return #value; }));
        }
    }
}

impl VisitMut for Rewriter<'_> {
    fn visit_item_mod_mut(&mut self, item: &mut syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit_mut::visit_item_mod_mut(self, item);
        }
    }

    fn visit_item_fn_mut(&mut self, item: &mut syn::ItemFn) {
        if is_for_tests(&item.attrs) || item.sig.constness.is_some() {
            return;
        }
        visit_mut::visit_item_fn_mut(self, item);
        self.return_early(&item.sig, &mut item.block);
    }

    fn visit_impl_item_fn_mut(&mut self, item: &mut syn::ImplItemFn) {
        if item.sig.constness.is_some() || item.sig.ident == "fmt" {
            return;
        }
        visit_mut::visit_impl_item_fn_mut(self, item);
        self.return_early(&item.sig, &mut item.block);
    }

    // Values of constants cannot depend on a switch.
    fn visit_item_const_mut(&mut self, _: &mut syn::ItemConst) {}
    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_item_static_mut(&mut self, _: &mut syn::ItemStatic) {}

    fn visit_arm_mut(&mut self, arm: &mut syn::Arm) {
        let line = arm.guard.as_ref().map_or(0, |(_, guard)| first_line(guard));
        visit_mut::visit_arm_mut(self, arm);
        if let Some((_, guard)) = &mut arm.guard {
            self.negate(guard, line);
        }
    }

    /// Leaves out statements that change something.
    fn visit_stmt_mut(&mut self, statement: &mut Stmt) {
        let line = first_line(statement);
        visit_mut::visit_stmt_mut(self, statement);
        if let Stmt::Expr(changing, Some(_)) = statement
            && is_change(changing)
        {
            let on = self.switch(line, "statement left out");
            *statement = parse_quote!(if !#on { #changing; });
        }
    }

    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        // Before the parts are rewritten: a switch has no place in the source.
        let lines = lines_of_parts(expression);
        visit_mut::visit_expr_mut(self, expression);
        match expression {
            Expr::If(branch) => self.negate(&mut branch.cond, lines[0]),
            Expr::Binary(binary) if is_logical(&binary.op) => {
                let of_and = matches!(binary.op, BinOp::And(_));
                self.drop_operand(&mut binary.left, lines[0], of_and);
                self.drop_operand(&mut binary.right, lines[1], of_and);
            }
            Expr::Binary(binary) => {
                if let Some(other) = boundary(&binary.op) {
                    let on = self.switch(lines[0], "boundary of a comparison moved");
                    let (left, op, right) = (&binary.left, &binary.op, &binary.right);
                    *expression = parse_quote!(
                        (if #on { #left #other #right } else { #left #op #right })
                    );
                }
            }
            Expr::MethodCall(call) => {
                let name = call.method.to_string();
                if let Some(Expr::Closure(predicate)) = call.args.first_mut()
                    && PREDICATES.contains(&name.as_str())
                {
                    let on = self.switch(lines[1], format!("predicate of {name} negated"));
                    let body = &predicate.body;
                    predicate.body = parse_quote!((#on ^ (#body)));
                }
                if let Some((_, other)) = OPPOSITES.iter().find(|(own, _)| *own == name) {
                    let on = self.switch(lines[0], format!("{other} for {name}"));
                    let mut opposite = call.clone();
                    opposite.method = syn::Ident::new(other, call.method.span());
                    *expression = parse_quote!((if #on { #opposite } else { #call }));
                }
            }
            _ => {}
        }
    }
}

/// Returns the lines of the parts in which an expression is changed.
fn lines_of_parts(expression: &Expr) -> [usize; 2] {
    match expression {
        Expr::If(branch) => [first_line(&branch.cond), 0],
        Expr::Binary(binary) => [first_line(&binary.left), first_line(&binary.right)],
        Expr::MethodCall(call) => {
            let argument = call.args.first().map_or(0, first_line);
            [line_of(call.method.span()), argument]
        }
        _ => [0, 0],
    }
}

fn is_logical(op: &BinOp) -> bool {
    matches!(op, BinOp::And(_) | BinOp::Or(_))
}

/// Returns the comparison that differs for equal values only.
fn boundary(op: &BinOp) -> Option<BinOp> {
    match op {
        BinOp::Lt(_) => Some(parse_quote!(<=)),
        BinOp::Le(_) => Some(parse_quote!(<)),
        BinOp::Gt(_) => Some(parse_quote!(>=)),
        BinOp::Ge(_) => Some(parse_quote!(>)),
        _ => None,
    }
}

/// Whether a condition binds variables with `let`.
fn binds(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(binary) => binds(&binary.left) || binds(&binary.right),
        _ => false,
    }
}

fn is_change(statement: &Expr) -> bool {
    match statement {
        Expr::MethodCall(_) | Expr::Call(_) => true,
        // Other places may have no value before.
        Expr::Assign(assignment) => matches!(*assignment.left, Expr::Unary(_)),
        Expr::Binary(binary) => {
            matches!(binary.op, BinOp::AddAssign(_) | BinOp::SubAssign(_) | BinOp::BitOrAssign(_))
        }
        _ => false,
    }
}

fn changes_an_argument(signature: &Signature) -> bool {
    signature.inputs.iter().any(|argument| match argument {
        FnArg::Receiver(receiver) => receiver.reference.is_some() && receiver.mutability.is_some(),
        FnArg::Typed(typed) => {
            matches!(&*typed.ty, Type::Reference(reference) if reference.mutability.is_some())
        }
    })
}

fn type_name(returned: &Type) -> String {
    match returned {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    }
    .unwrap_or_default()
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.meta.to_token_stream().to_string().contains("test"))
    })
}

fn first_line(tokens: &impl ToTokens) -> usize {
    tokens.to_token_stream().into_iter().next().map_or(0, |token| line_of(token.span()))
}

fn line_of(span: Span) -> usize {
    span.start().line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str)]) {
        let mut mutants = Vec::new();
        let rewritten = rewrite("a.rs", text, &mut mutants).unwrap();
        let found: Vec<_> = mutants.iter().map(|found| (found.line, &*found.change)).collect();
        assert_eq!(found, expected);
        for number in 1..=mutants.len() {
            assert!(rewritten.contains(&format!("is_on ({number}usize)")), "{rewritten}");
        }
    }

    #[test]
    fn each_place_gets_its_mistakes() {
        check(
            "fn adds(a: u8, list: &mut Vec<u8>) -> bool {
                if a < 3 {
                    list.push(a);
                }
                a > 1 && list.iter().any(|x| *x == a)
            }",
            &[
                (2, "boundary of a comparison moved"),
                (3, "statement left out"),
                (2, "condition negated"),
                (5, "boundary of a comparison moved"),
                (5, "predicate of any negated"),
                (5, "all for any"),
                (5, "operand of && dropped"),
                (5, "operand of && dropped"),
                (1, "adds returns true"),
                (1, "adds returns false"),
            ],
        );
    }

    #[test]
    fn tests_constants_and_bindings_are_left_alone() {
        check(
            "const fn is_small(a: u8) -> bool { a < 3 }
            #[cfg(test)]
            mod tests { fn adds(a: u8) -> bool { a < 3 } }
            fn first(a: Option<u8>) -> u8 { if let Some(a) = a { a } else { 0 } }",
            &[],
        );
    }
}
