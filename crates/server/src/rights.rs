//! Who may do what. Pure: a table of roles, and the decision.
//!
//! Administration never implies access to data: nobody has both roles, and what one may does not contain what the other may.
//!
//! Never knows: how somebody proved who they are, HTTP, SQL.

use std::fmt;

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Configures; cannot read data.
    Administrator,
    /// Runs, suspends, enrols; cannot read data.
    Operator,
    /// Reads backed-up data.
    RestoreOperator,
    /// Reads the log of who did what, and nothing else.
    Auditor,
}

/// All roles with their words.
pub(crate) const ROLES: [(Role, &str); 4] = [
    (Role::Administrator, "administrator"),
    (Role::Operator, "operator"),
    (Role::RestoreOperator, "restore-operator"),
    (Role::Auditor, "auditor"),
];

impl Role {
    /// As it is written.
    pub(crate) fn word(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("", |(_, word)| word)
    }

    /// From how it is written.
    pub(crate) fn parse(word: &str) -> Option<Role> {
        ROLES.iter().find(|(_, known)| *known == word).map(|(role, _)| *role)
    }
}

/// What a role holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything.
    All,
    /// One machine.
    Machine(String),
    /// All machines of a vault.
    Vault(String),
}

impl Scope {
    /// From how it is written: `all`, `machine:NAME`, `vault:NAME`.
    pub(crate) fn parse(text: &str) -> Option<Scope> {
        match text.split_once(':') {
            None => (text == "all").then_some(Scope::All),
            Some(("machine", name)) => {
                backstay_format::names::is_machine_name(name).then(|| Scope::Machine(name.to_owned()))
            }
            Some(("vault", name)) => backstay_format::names::is_vault_name(name).then(|| Scope::Vault(name.to_owned())),
            Some(_) => None,
        }
    }

    fn holds_for(&self, object: Object<'_>) -> bool {
        match (self, object) {
            (Scope::All, _) | (_, Object::Some) => true,
            (Scope::Machine(name), Object::Machine { machine, .. }) => name == machine,
            (Scope::Vault(name), Object::Machine { vault, .. }) => name == vault,
            (_, Object::Everything) => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("all"),
            Scope::Machine(name) => write!(f, "machine:{name}"),
            Scope::Vault(name) => write!(f, "vault:{name}"),
        }
    }
}

/// A role, and what it holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) scope: Scope,
}

impl Grant {
    /// Whether it allows all that another does.
    pub(crate) fn covers(&self, other: &Grant) -> bool {
        self.role == other.role && (self.scope == Scope::All || self.scope == other.scope)
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nothing: it is for those who are nobody yet.
    Nobody,
    /// To be known: it is about oneself.
    Somebody,
    /// To see machines, points and figures; not what is in them.
    See,
    /// To run jobs, to suspend, to enrol.
    Run,
    /// To read backed-up data.
    Read,
    /// To cancel jobs: all of them for who runs jobs, a restore for who began it.
    Cancel,
    /// To change people, roles and settings.
    Configure,
    /// To read the log of who did what.
    Audit,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object<'a> {
    /// All there is.
    Everything,
    /// As much of it as whoever asks may see: the answer leaves out the rest.
    Some,
    /// One machine.
    Machine {
        /// Its name.
        machine: &'a str,
        /// The name of its vault.
        vault: &'a str,
    },
}

/// What each role may.
pub(crate) fn allows(role: Role, right: Right) -> bool {
    match right {
        Right::Nobody | Right::Somebody => true,
        Right::See => matches!(role, Role::Administrator | Role::Operator | Role::RestoreOperator),
        Right::Run => role == Role::Operator,
        Right::Read => role == Role::RestoreOperator,
        Right::Cancel => allows(role, Right::Run) || allows(role, Right::Read),
        Right::Configure => role == Role::Administrator,
        Right::Audit => role == Role::Auditor,
    }
}

/// Whether these roles allow it.
pub(crate) fn may(grants: &[Grant], right: Right, object: Object<'_>) -> bool {
    match right {
        Right::Nobody | Right::Somebody => true,
        right => grants.iter().any(|grant| allows(grant.role, right) && grant.scope.holds_for(object)),
    }
}

/// Why nobody may have these roles together; `None`: they go together.
pub(crate) fn clash(grants: &[Grant]) -> Option<&'static str> {
    let has = |role| grants.iter().any(|grant| grant.role == role);
    if has(Role::Administrator) && has(Role::RestoreOperator) {
        return Some("who administrates cannot also read backed-up data");
    }
    if has(Role::Auditor) && (has(Role::Administrator) || has(Role::Operator) || has(Role::RestoreOperator)) {
        return Some("who reads the log of what people do cannot be one of them");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, scope: &str) -> Grant {
        Grant { role, scope: Scope::parse(scope).unwrap() }
    }

    #[test]
    fn what_each_role_may() {
        use Right::{Audit, Cancel, Configure, Read, Run, See};
        let table = [
            (Role::Administrator, vec![See, Configure]),
            (Role::Operator, vec![See, Run, Cancel]),
            (Role::RestoreOperator, vec![See, Read, Cancel]),
            (Role::Auditor, vec![Audit]),
        ];
        for (role, rights) in table {
            for right in [See, Run, Read, Cancel, Configure, Audit] {
                assert_eq!(allows(role, right), rights.contains(&right), "{role:?} {right:?}");
            }
        }
    }

    #[test]
    fn a_scope_ends_where_it_says() {
        let web = Object::Machine { machine: "web", vault: "main" };
        let mail = Object::Machine { machine: "mail", vault: "other" };
        let of = |scope: &str| [grant(Role::RestoreOperator, scope)];
        assert!(may(&of("all"), Right::Read, web) && may(&of("all"), Right::Read, Object::Everything));
        assert!(may(&of("machine:web"), Right::Read, web) && !may(&of("machine:web"), Right::Read, mail));
        assert!(may(&of("vault:main"), Right::Read, web) && !may(&of("vault:main"), Right::Read, mail));
        assert!(!may(&of("machine:web"), Right::Read, Object::Everything));
        assert!(may(&of("machine:web"), Right::See, Object::Some));
        assert!(!may(&[], Right::See, Object::Some) && may(&[], Right::Somebody, Object::Everything));
        for wrong in ["", "ALL", "machine:", "machine:a/b", "vault:", "vault:A", "disk:x"] {
            assert_eq!(Scope::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn some_roles_exclude_others() {
        let both = |a, b| clash(&[grant(a, "all"), grant(b, "machine:web")]).is_some();
        assert!(both(Role::Administrator, Role::RestoreOperator) && both(Role::Auditor, Role::Operator));
        assert!(!both(Role::Administrator, Role::Operator) && !both(Role::Operator, Role::RestoreOperator));
    }
}
