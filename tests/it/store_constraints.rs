//! States that may not exist: the database refuses each by the name of the constraint that says so, whoever asks.

use crate::store_facts::{act, import, only_rule, update, with_pool};
use schema::rule::RuleAction;
use tests::database::TestDb;

/// Statements that would reach a state that may not exist, and the constraint in their way.
const CASES: &[(&str, &str)] = &[
    ("insert into sites (name) values ('REDMOND')", "sites_name_unique"),
    ("insert into sites (name) values ('ÉCOLE'), ('école')", "sites_name_unique"),
    ("insert into sites (name) values ('')", "sites_name_check"),
    ("insert into pools (site_id, fqdn, service_id) select id, 'Two.x', '2' from sites", "pools_fqdn_check"),
    ("insert into pools (site_id, fqdn, service_id) select id, 'one.contoso.com', '2' from sites", "pools_fqdn_unique"),
    (
        "insert into pools (site_id, fqdn, service_id) select id, 'two.x', 'ONE-webservices-1' from sites",
        "pools_service_id_unique",
    ),
    ("insert into pools (site_id, fqdn, service_id) select id, 'two.x', '../x' from sites", "pools_service_id_check"),
    ("insert into pools (site_id, fqdn, service_id) values (0, 'two.x', '2')", "pools_site_fkey"),
    ("delete from sites", "pools_site_fkey"),
    (
        "insert into nodes (pool_id, name, program_version) select id, n, '1' from pools, unnest(array['a', 'A']) n",
        "nodes_name_unique",
    ),
    ("insert into packages (digest, name, size_bytes, imported_by) values ('x', '', 0, '')", "packages_digest_check"),
    ("update packages set size_bytes = -1", "packages_size_check"),
    ("delete from packages", "updates_package_fkey"),
    (
        "insert into update_targets (kind, device_type, brand, locale, update_type) values ('interim', 't', 'b', 'l', 'u')",
        "update_targets_interim_check",
    ),
    (
        "insert into update_targets (kind, device_type, locale, update_type) values ('device', 't', 'l', 'u')",
        "update_targets_interim_check",
    ),
    ("update update_targets set kind = 'other'", "update_targets_kind_check"),
    (
        "insert into update_targets (kind, device_type, brand, model, revision, locale, update_type)
         select kind, lower(device_type), upper(brand), lower(model), revision, lower(locale), update_type
         from update_targets",
        "update_targets_unique",
    ),
    (
        "insert into updates (pool_id, target_id, version, package_digest)
         select pool_id, target_id, version, package_digest from updates",
        "updates_unique",
    ),
    ("update updates set version = '1.0.0'", "updates_version_check"),
    ("update updates set version = '1.0.0.00'", "updates_version_check"),
    ("delete from updates where version = '1.0.0.0'", "device_update_rules_restore_fkey"),
    ("delete from updates where version = '2.0.0.0'", "device_update_rules_approved_fkey"),
    ("delete from updates where version = '3.0.0.0'", "device_update_rules_pending_fkey"),
    ("update update_files set role = 'x'", "update_files_role_check"),
    ("update update_files set role = 'image'", "update_files_image_unique"),
    ("update update_files set role = 'signature'", "update_files_signature_unique"),
    ("update update_files set digest = 'x'", "update_files_digest_check"),
    ("update update_files set size_bytes = -1", "update_files_size_check"),
    ("update update_files set name = 'a'", "update_files_name_unique"),
    (
        "insert into update_files select update_id, pool_id, 'new', 'other', digest, 1, time_stamp, upper(path)
         from update_files",
        "update_files_path_unique",
    ),
    (
        "insert into update_files select update_id, 0, name || '2', 'other', digest, 1, time_stamp, path from update_files",
        "update_files_update_fkey",
    ),
    ("insert into catalog_digests values ('x', 0, '1.3.14.3.2.26', 'x')", "catalog_digests_catalog_check"),
    ("update device_update_rules set pending_version = '9.9.9.9'", "device_update_rules_pending_fkey"),
    ("update device_update_rules set pending_version = approved_version", "device_update_rules_pending_check"),
    ("update device_update_rules set restore_version = approved_version", "device_update_rules_restore_check"),
    ("update device_update_rules set approved_version = null", "device_update_rules_restore_check"),
    (
        "insert into device_update_rules (pool_id, target_id) select pool_id, target_id from device_update_rules",
        "device_update_rules_unique",
    ),
    (
        "insert into stepping_stones (device_type, below, via) values ('ucphone', '1.0.522.98', '1.0.522.103')",
        "stepping_stones_unique",
    ),
    (
        "insert into stepping_stones (device_type, below, via) values ('x', '1.0.522.103', '1.0.522.98')",
        "stepping_stones_progress_check",
    ),
    ("update stepping_stones set below = '1'", "stepping_stones_below_check"),
    ("update stepping_stones set via = '2'", "stepping_stones_via_check"),
    (
        "insert into test_devices (name, identifier_type, identifier)
         values ('a', 'SerialNumber', '1'), ('A', 'SerialNumber', '2')",
        "test_devices_name_unique",
    ),
    (
        "insert into test_devices (name, identifier_type, identifier) values ('a', 'IPAddress', '1')",
        "test_devices_identifier_type_check",
    ),
    (
        "insert into test_devices (name, identifier_type, identifier) values ('a', 'MACAddress', '00-21-63-0F-20-7B')",
        "test_devices_identifier_check",
    ),
    (
        "insert into test_devices (name, identifier_type, identifier) values ('', 'SerialNumber', '1')",
        "test_devices_name_check",
    ),
    ("insert into device_update_configuration default values", "device_update_configuration_unique"),
    (
        "update device_update_configuration set log_clean_up_interval_s = 0",
        "device_update_configuration_clean_up_check",
    ),
    ("update device_update_configuration set log_flush_interval_s = 3601", "device_update_configuration_flush_check"),
    ("update device_update_configuration set max_log_cache_limit_bytes = 0", "device_update_configuration_cache_check"),
    ("update device_update_configuration set max_log_file_size_bytes = 0", "device_update_configuration_file_check"),
    ("insert into accounts values ('a', 'secret')", "accounts_password_hash_check"),
    ("insert into accounts values ('a', '$argon2id$'), ('A', '$argon2id$')", "accounts_name_unique"),
    ("insert into accounts values ('', '$argon2id$')", "accounts_name_check"),
    ("insert into administrators (name) values ('a'), ('A')", "administrators_name_unique"),
    ("insert into api_tokens values (0, 'a', sha256('x'))", "api_tokens_administrator_fkey"),
    ("insert into api_tokens values (0, 'a', 'x')", "api_tokens_digest_check"),
    ("update admin_events set actor = 'somebody else'", "admin_events_append_only"),
    ("delete from admin_events", "admin_events_append_only"),
    ("truncate admin_events", "admin_events_append_only"),
    ("insert into generation values (true)", "generation_pkey"),
    ("insert into generation values (false)", "generation_only_row_check"),
    ("insert into schema_compatibility values (false, 1)", "schema_compatibility_only_row_check"),
    ("update schema_compatibility set oldest_program = 0", "schema_compatibility_oldest_program_check"),
    (
        "insert into nodes (pool_id, name, program_version, state) select id, 'n9', '1', 'asleep' from pools limit 1",
        "nodes_state_check",
    ),
    (
        "insert into nodes (pool_id, name, program_version, silent_after_ms) select id, 'n9', '1', 0 from pools limit 1",
        "nodes_silent_after_check",
    ),
    (
        "insert into ticket_keys (pool_id, number, name, secret, used_from) select id, 0, decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), now()  from pools limit 1",
        "ticket_keys_number_check",
    ),
    (
        "insert into ticket_keys (pool_id, number, name, secret, used_from) select id, 1, decode(repeat('00', 15), 'hex'), decode(repeat('00', 32), 'hex'), now()  from pools limit 1",
        "ticket_keys_name_check",
    ),
    (
        "insert into ticket_keys (pool_id, number, name, secret, used_from) select id, 1, decode(repeat('00', 16), 'hex'), decode(repeat('00', 31), 'hex'), now()  from pools limit 1",
        "ticket_keys_secret_check",
    ),
    (
        "insert into ticket_keys (pool_id, number, name, secret, used_from) select id, 1, decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), now() - interval '1 hour' from pools limit 1",
        "ticket_keys_used_from_check",
    ),
    (
        "insert into replicas (pool_id, node, needed_files, needed_bytes, held_files, held_bytes, settled, failed_files, detail) select id, 'n', 0, 0, 1, 0, true, 0, '{}' from pools limit 1",
        "replicas_held_files_check",
    ),
    (
        "insert into replicas (pool_id, node, needed_files, needed_bytes, held_files, held_bytes, settled, failed_files, detail) select id, 'n', 0, 0, 0, 1, true, 0, '{}' from pools limit 1",
        "replicas_held_bytes_check",
    ),
    (
        "insert into replicas (pool_id, node, needed_files, needed_bytes, held_files, held_bytes, settled, failed_files, detail) select id, 'n', 0, 0, 0, 0, true, 1, '{}' from pools limit 1",
        "replicas_failed_files_check",
    ),
];

#[tokio::test]
async fn illegal_states_are_refused_by_name() {
    let db = TestDb::new().await;
    let database = db.database();
    let pools = [with_pool(&database).await];
    for (number, bytes) in [("1", 1), ("2", 2), ("3", 3)] {
        import(&database, &pools, &[update("CX600", number, bytes)]).await;
        if number != "3" {
            act(&database, only_rule(&database).await.id, RuleAction::Approve).await;
        }
    }
    let mut client = db.client().await;
    for (statement, constraint) in CASES {
        let transaction = client.transaction().await.unwrap();
        let error = transaction.batch_execute(statement).await.expect_err(statement);
        let refused_by = error.as_db_error().and_then(|error| error.constraint());
        assert_eq!(refused_by, Some(*constraint), "{statement}: {error:?}");
        transaction.rollback().await.unwrap();
    }
}

/// A constraint that no case breaks could as well not be there.
#[tokio::test]
async fn every_check_has_a_case() {
    let client = TestDb::new().await.client().await;
    let sql = "
        select conname::text
        from pg_constraint
        join pg_namespace on pg_namespace.oid = connamespace
        where nspname = 'public' and contype = 'c'";
    for row in client.query(sql, &[]).await.unwrap() {
        let name: String = row.get(0);
        let unreachable =
            ["generation_hash_check", "admin_events_hash_check", "administrators_name_check", "api_tokens_name_check"];
        let has_case = CASES.iter().any(|(_, constraint)| *constraint == name);
        assert!(has_case || unreachable.contains(&name.as_str()), "{name} has no case");
    }
}
