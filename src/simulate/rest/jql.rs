//! The part of JQL that clients of the site need: comparisons joined by AND, OR, NOT and parentheses, and one ORDER BY.
//!
//! As in Jira an unbounded query is refused, a nonexistent key in a list fails the query, and times have the minutes of the caller's zone.

mod token;

use crate::clock::Timestamp;
use crate::simulate::catalogue::Priority;
use crate::simulate::site::Issue;

use self::token::{Token, moment, tokens};

const NESTING_MAX: u32 = 50;

/// What issues are sorted by, with the id to make it unique.
pub(super) type SortKey = (i64, u64);

pub(super) struct Search {
    term: Term,
    pub order: Order,
}

#[derive(Clone, Copy)]
pub(super) struct Order {
    by: Field,
    pub descending: bool,
}

enum Term {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Is(Field, Operator, Vec<Operand>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Project,
    Id,
    Status,
    Priority,
    Labels,
    Created,
    Updated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Less,
    AtMost,
    More,
    AtLeast,
}

enum Operand {
    Text(String),
    Number(i64),
}

impl Search {
    /// `resolve` turns an id or key into the id of an issue.
    pub fn parse(jql: &str, now: Timestamp, resolve: impl Fn(&str) -> Option<u64>) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(jql)?, at: 0, depth: 0, now, resolve: &resolve };
        if parser.tokens.is_empty() || parser.peeks("order") {
            return Err("Unbounded JQL queries are not allowed here. Please add a search restriction to your query.".into());
        }
        let term = parser.any()?;
        let order = parser.order()?;
        match parser.next() {
            Some(token) => Err(format!("Error in the JQL Query: Expecting either 'OR' or 'AND' but got '{}'.", token.text())),
            None => Ok(Self { term, order }),
        }
    }

    pub fn matches(&self, issue: &Issue) -> bool {
        self.term.matches(issue)
    }
}

impl Order {
    pub fn key(self, issue: &Issue) -> SortKey {
        let id = i64::try_from(issue.id).unwrap_or(i64::MAX);
        let value = match self.by {
            Field::Updated => issue.updated.ms(),
            Field::Created => issue.created.ms(),
            Field::Project => i64::try_from(issue.project.id).unwrap_or(i64::MAX),
            Field::Priority => rank(issue.priority.id()).unwrap_or(0),
            Field::Id | Field::Status | Field::Labels => id,
        };
        (value, issue.id)
    }
}

impl Term {
    fn matches(&self, issue: &Issue) -> bool {
        match self {
            Self::All(terms) => terms.iter().all(|term| term.matches(issue)),
            Self::Any(terms) => terms.iter().any(|term| term.matches(issue)),
            Self::Not(term) => !term.matches(issue),
            Self::Is(field, operator, operands) => {
                let equal = |operand: &Operand| match (field, operand) {
                    (Field::Project, Operand::Text(text)) => {
                        text.eq_ignore_ascii_case(issue.project.key)
                            || text.eq_ignore_ascii_case(issue.project.name)
                            || *text == issue.project.id.to_string()
                    }
                    (Field::Status, Operand::Text(text)) => text.eq_ignore_ascii_case(issue.status.name()) || text == issue.status.id(),
                    (Field::Labels, Operand::Text(text)) => issue.labels.contains(text),
                    (_, operand) => operand.number().is_some_and(|number| number == field.number(issue)),
                };
                let compare = |holds: fn(&i64, &i64) -> bool| {
                    operands.first().and_then(Operand::number).is_some_and(|n| holds(&field.number(issue), &n))
                };
                match operator {
                    Operator::In => operands.iter().any(equal),
                    Operator::NotIn => !operands.iter().any(equal),
                    Operator::Less => compare(i64::lt),
                    Operator::AtMost => compare(i64::le),
                    Operator::More => compare(i64::gt),
                    Operator::AtLeast => compare(i64::ge),
                }
            }
        }
    }
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "project" => Self::Project,
            "id" | "key" | "issue" | "issuekey" => Self::Id,
            "status" => Self::Status,
            "priority" => Self::Priority,
            "labels" => Self::Labels,
            "created" => Self::Created,
            "updated" => Self::Updated,
            _ => return None,
        })
    }

    /// Times count in whole minutes.
    fn number(self, issue: &Issue) -> i64 {
        match self {
            Self::Created => issue.created.ms().div_euclid(60_000),
            Self::Updated => issue.updated.ms().div_euclid(60_000),
            Self::Priority => rank(issue.priority.id()).unwrap_or(0),
            Self::Id | Self::Project | Self::Status | Self::Labels => i64::try_from(issue.id).unwrap_or(i64::MAX),
        }
    }
}

impl Operand {
    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

/// Of the priority with this name or id: more where it is more urgent.
fn rank(priority: &str) -> Option<i64> {
    let is_it = |known: &Priority| known.name().eq_ignore_ascii_case(priority) || known.id() == priority;
    Priority::ALL.iter().rev().position(is_it).and_then(|rank| i64::try_from(rank).ok())
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    now: Timestamp,
    resolve: &'a dyn Fn(&str) -> Option<u64>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Whether the next token is this word or sign.
    fn peeks(&self, expected: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(text) | Token::Sign(text)) if text.eq_ignore_ascii_case(expected))
    }

    fn takes(&mut self, expected: &str) -> bool {
        let is = self.peeks(expected);
        self.at += usize::from(is);
        is
    }

    fn needs(&mut self, expected: &str) -> Result<(), String> {
        if self.takes(expected) { Ok(()) } else { Err(format!("Error in the JQL Query: Expecting '{expected}'.")) }
    }

    fn any(&mut self) -> Result<Term, String> {
        let mut terms = vec![self.all()?];
        while self.takes("or") || self.takes("||") {
            terms.push(self.all()?);
        }
        Ok(Term::Any(terms))
    }

    fn all(&mut self) -> Result<Term, String> {
        let mut terms = vec![self.one()?];
        while self.takes("and") || self.takes("&&") {
            terms.push(self.one()?);
        }
        Ok(Term::All(terms))
    }

    fn one(&mut self) -> Result<Term, String> {
        // Deeper nesting than anybody writes is refused before it can exhaust the stack.
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err("Error in the JQL Query: The query is too complex.".into());
        }
        let term = if self.takes("not") || self.takes("!") {
            Term::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let term = self.any()?;
            self.needs(")")?;
            term
        } else {
            self.clause()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn clause(&mut self) -> Result<Term, String> {
        let field = self.field()?;
        let operator = self.next().ok_or("Error in the JQL Query: Expecting operator at the end of the query.")?;
        let (operator, listed) = match operator.text().to_ascii_lowercase().as_str() {
            "=" => (Operator::In, false),
            "!=" => (Operator::NotIn, false),
            "in" => (Operator::In, true),
            "not" => {
                self.needs("in")?;
                (Operator::NotIn, true)
            }
            "<" => (Operator::Less, false),
            "<=" => (Operator::AtMost, false),
            ">" => (Operator::More, false),
            ">=" => (Operator::AtLeast, false),
            other => return Err(format!("Error in the JQL Query: Expecting operator but got '{other}'.")),
        };
        if !listed {
            return Ok(Term::Is(field, operator, vec![self.operand(field)?]));
        }
        self.needs("(")?;
        let mut operands = vec![self.operand(field)?];
        while self.takes(",") {
            operands.push(self.operand(field)?);
        }
        self.needs(")")?;
        Ok(Term::Is(field, operator, operands))
    }

    fn field(&mut self) -> Result<Field, String> {
        let name = self.next().ok_or("Error in the JQL Query: Expecting a field name at the end of the query.")?;
        Field::named(name.text()).ok_or_else(|| format!("Field '{}' does not exist or you do not have permission to view it.", name.text()))
    }

    fn operand(&mut self, field: Field) -> Result<Operand, String> {
        let token = self.next().ok_or("Error in the JQL Query: Expecting a value at the end of the query.")?;
        let text = token.text();
        if matches!(token, Token::Sign(_)) {
            return Err(format!("Error in the JQL Query: Expecting a value but got '{text}'."));
        }
        match field {
            Field::Project | Field::Status | Field::Labels => Ok(Operand::Text(text.to_owned())),
            Field::Priority => {
                let rank = rank(text).ok_or_else(|| format!("The value '{text}' does not exist for the field 'priority'."))?;
                Ok(Operand::Number(rank))
            }
            Field::Id => {
                let id = (self.resolve)(text).ok_or_else(|| match text.parse::<u64>() {
                    Ok(_) => format!("A value with ID '{text}' does not exist for the field 'id'."),
                    Err(_) => format!("An issue with key '{text}' does not exist for field 'key'."),
                })?;
                Ok(Operand::Number(i64::try_from(id).unwrap_or(i64::MAX)))
            }
            Field::Created | Field::Updated => {
                let at = moment(text, self.now).ok_or_else(|| {
                    format!("Date value '{text}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', '-5d'.")
                })?;
                Ok(Operand::Number(at.ms().div_euclid(60_000)))
            }
        }
    }

    fn order(&mut self) -> Result<Order, String> {
        if !self.takes("order") {
            return Ok(Order { by: Field::Id, descending: true });
        }
        self.needs("by")?;
        let by = self.field()?;
        let descending = self.takes("desc");
        self.takes("asc");
        // The id makes the order unique, so further fields change nothing for us.
        while self.takes(",") {
            self.field()?;
            let _ = self.takes("desc") || self.takes("asc");
        }
        Ok(Order { by, descending })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::simulate::Flavour;
    use crate::simulate::site::Site;

    const NOW: i64 = 1_765_441_200_120; // 2025-12-11 09:20 in Berlin

    fn check(jql: &str) -> Result<Vec<String>, String> {
        let mut site = Site::new("http://jira.example", Flavour::Cloud, 1, Clock::at(Timestamp::from_ms(NOW)));
        for _ in 0..6 {
            site.act();
        }
        let search = Search::parse(jql, Timestamp::from_ms(NOW), |name| site.find(name).map(|issue| issue.id))?;
        let mut found: Vec<_> = site.issues.values().filter(|issue| search.matches(issue)).collect();
        found.sort_by_key(|issue| search.order.key(issue));
        if search.order.descending {
            found.reverse();
        }
        Ok(found.into_iter().map(|issue| issue.key.clone()).collect())
    }

    #[test]
    fn queries_find_what_they_say() {
        for (jql, expected) in [
            ("key in (DOCS-1, OPS-2) ORDER BY key ASC", &["DOCS-1", "OPS-2"][..]),
            ("id in (10001) or issuekey = 'help-3' order by id", &["DOCS-1", "HELP-3"]),
            ("key = DOCS-3", &["OPS-9"]),
            (r#"project = "DOCS" AND status = "On Hold""#, &["DOCS-4"]),
            ("(project=DOCS and not status = \"To Do\") ORDER BY updated DESC, key ASC", &["DOCS-4"]),
            ("updated >= \"2025-12-11 09:20\" AND project = HELP", &["HELP-2"]),
            ("updated >= 1765441200000 AND project = HELP", &["HELP-2"]),
            ("updated >= -5m AND project = HELP", &["HELP-2"]),
            ("updated > \"2025/12/11 09:20\"", &[]),
            (
                "project not in (OPS, HELP) AND created < \"2030-01-01\" AND key != DOCS-4 AND key <= DOCS-2 ORDER BY created ASC",
                &["DOCS-1", "DOCS-2"],
            ),
        ] {
            assert_eq!(check(jql).unwrap(), expected, "{jql}");
        }
    }

    #[test]
    fn priorities_have_an_order_and_labels_are_many() {
        let all = check("project in (DOCS, OPS, HELP)").unwrap().len();
        let count = |jql: &str| check(jql).unwrap().len();
        assert_eq!(count("priority >= Low"), all);
        assert_eq!(count("priority > 3 OR priority = Medium OR priority < medium"), all);
        assert_eq!(count("priority = High") + count("priority != high"), all);
        assert_eq!(count("priority > High"), 0);
        assert_eq!(count("labels = nowhere"), 0);
        assert_eq!(count("labels not in (nowhere, \"not here\")"), all);
    }

    #[test]
    fn what_jira_refuses_is_refused() {
        for (jql, part) in [
            ("", "Unbounded"),
            ("ORDER BY updated", "Unbounded"),
            ("colour = red", "Field 'colour' does not exist"),
            ("key in (DOCS-99)", "issue with key 'DOCS-99' does not exist"),
            ("id = 99", "ID '99' does not exist"),
            ("priority = Blazing", "value 'Blazing' does not exist"),
            ("updated >= yesterday", "Date value 'yesterday' is invalid"),
            ("project = ", "Expecting a value"),
            ("project = (", "Expecting a value but got '('"),
            ("project ~ x", "Expecting operator"),
            ("project = DOCS project = OPS", "Expecting either 'OR' or 'AND'"),
            ("project = \"DOCS", "has not been completed"),
            ("(project = DOCS", "Expecting ')'"),
            (&"(".repeat(100_000), "too complex"),
        ] {
            let text = check(jql).unwrap_err();
            assert!(text.contains(part), "{jql}: {text}");
        }
    }
}
