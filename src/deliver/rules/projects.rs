//! Which projects a condition names: whatever it matches belongs to one of them. Only so is a private project meant.

use std::collections::BTreeSet;

use cel::common::ast::operators::{EQUALS, IN, LOGICAL_AND, LOGICAL_OR};
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::expression::path_of;

/// Where a condition finds the project of an event.
const PLACES: [&[&str]; 5] =
    [&["project"], &["issue", "project"], &["event", "project"], &["event", "issue", "project"], &["now", "project"]];

/// Their keys and ids; nothing where it may match events of other projects, too.
pub(super) fn named(condition: &Expr) -> BTreeSet<String> {
    bounds(condition).unwrap_or_default()
}

/// None: events of any project may match.
fn bounds(condition: &Expr) -> Option<BTreeSet<String>> {
    let Expr::Call(call) = condition else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        // All of them hold, so one is enough.
        (LOGICAL_AND, parts) => parts.iter().filter_map(|part| bounds(&part.expr)).reduce(|mut all, more| {
            all.extend(more);
            all
        }),
        (LOGICAL_OR, parts) => {
            let each: Option<Vec<_>> = parts.iter().map(|part| bounds(&part.expr)).collect();
            Some(each?.into_iter().flatten().collect())
        }
        (EQUALS, [one, other]) if is_project(one) => Some([text(other)?].into()),
        (EQUALS, [one, other]) if is_project(other) => Some([text(one)?].into()),
        (IN, [one, IdedExpr { expr: Expr::List(list), .. }]) if is_project(one) => list.elements.iter().map(text).collect(),
        _ => None,
    }
}

/// The key or id of the event's project.
fn is_project(expr: &IdedExpr) -> bool {
    let Some(path) = path_of(&expr.expr) else { return false };
    let Some((member, place)) = path.split_last() else { return false };
    let place: Vec<&str> = place.iter().map(String::as_str).collect();
    matches!(member.as_str(), "key" | "id") && PLACES.contains(&place.as_slice())
}

pub(super) fn text(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::deliver::Names;
    use crate::deliver::rules::Expression;
    use crate::event::{Project, ProjectKind};

    #[test]
    fn a_rule_names_a_project_where_it_matches_no_other() {
        for (when, is_named) in [
            (r#"project.key == "SEC""#, true),
            (r#"issue.project.key == "SEC" && issue.priority.name == "Highest""#, true),
            (r#"event.kind == "issue.created" && (issue.labels.size() > 0 && "SEC" == event.project.key)"#, true),
            (r#"project.id == "10""#, true),
            (r#"project["key"] in ["OPS", "SEC"]"#, true),
            (r#"project.key == "OPS" || now.project.key == "SEC""#, true),
            (r#"(project.key == "OPS" || project.key == "SEC") && event.kind == "issue.created""#, true),
            (r#"project.key == "OPS""#, false),
            (r#"project.key == "sec""#, false),
            (r#"issue.project.key != "SEC""#, false),
            (r#"issue.project.key != "SEC" || issue.priority.name == "Highest""#, false),
            (r#"issue.project.key == "SEC" || issue.priority.name == "Highest""#, false),
            (r#"!(project.key == "SEC")"#, false),
            (r#"!(project.key in ["SEC"])"#, false),
            (r#""SEC" in issue.labels"#, false),
            (r#"issue.key.startsWith("SEC")"#, false),
            (r#"issue.summary == "SEC""#, false),
            (r#"project.name == "SEC""#, false),
            (r#"project.key in issue.labels || project.key == "SEC""#, false),
            (r#"project.key in ["SEC", issue.key]"#, false),
            (r#"project.key == "SEC" ? true : true"#, false),
            (r#"issue.components.exists(project, project.name == "SEC")"#, false),
            ("true", false),
        ] {
            let expression = Expression::compile(when, &Names::of_events()).expect(when);
            let project = Project { id: "10".into(), key: Some("SEC".into()), name: Some("SEC".into()), kind: ProjectKind::Software };
            assert_eq!(expression.names_project(&project), is_named, "{when}");
        }
    }
}
