-- The rights of haproxyd's account. Run this once, on one node, as an administrator: accounts,
-- grants and procedures are DDL, which Galera carries to all nodes (wsrep_OSU_method TOI, the default).

-- probe: is a node usable? Needs no privilege but to log in. Without it HAProxy's own checks are the
-- votes, at their own pace, and none of the other parts works.
CREATE USER IF NOT EXISTS 'haproxyd'@'10.0.0.%' ACCOUNT LOCK;
-- A new account is locked until you give it the password that is in the file of --probe-password-file:
--   ALTER USER 'haproxyd'@'10.0.0.%' IDENTIFIED BY 'PASSWORD' ACCOUNT UNLOCK;

-- drain: who is between transactions? Without the first, active set cuts sessions within transactions.
-- The second also sees a bare BEGIN, user locks and table locks, where performance_schema is on.
GRANT PROCESS ON *.* TO 'haproxyd'@'10.0.0.%';
GRANT SELECT ON performance_schema.* TO 'haproxyd'@'10.0.0.%';

-- canary (--canary): a commit of its own on every node. Without it a node that cannot commit is told from
-- an idle one only where others commit. CREATE is for the schema and its table, which the daemon makes.
GRANT CREATE, SELECT, INSERT, UPDATE ON `haproxyd`.* TO 'haproxyd'@'10.0.0.%';

-- evict and evict-last run as an account that nobody can log in as. It alone may set Galera's options, and
-- it does so only as the procedures below say. It reads who is a member in Galera's own table.
CREATE USER IF NOT EXISTS 'haproxyd_definer'@'localhost' IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK;
GRANT SUPER ON *.* TO 'haproxyd_definer'@'localhost';
GRANT SELECT ON mysql.wsrep_cluster_members TO 'haproxyd_definer'@'localhost';
CREATE SCHEMA IF NOT EXISTS haproxyd_galera;

-- evict, evict-last: empties the list of evicted members, all of it, and puts evs.join_retrans_period back.
SET @haproxyd_sql_mode = @@SESSION.sql_mode;
SET SESSION sql_mode = 'STRICT_ALL_TABLES';
DELIMITER //
CREATE OR REPLACE DEFINER = 'haproxyd_definer'@'localhost' PROCEDURE haproxyd_galera.clear_evicted(IN new_period VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
BEGIN
  DECLARE sync_wait BIGINT UNSIGNED DEFAULT @@SESSION.wsrep_sync_wait;
  DECLARE plugin INT;
  DECLARE outcome, old_period, evict_list_now, seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list VARCHAR(2048) CHARACTER SET utf8mb4;
  DECLARE seconds DECIMAL(8,6);
  DECLARE members INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    SET SESSION wsrep_sync_wait = sync_wait;
    RESIGNAL;
  END;
  SET SESSION wsrep_sync_wait = 0;
  SELECT COUNT(*), MAX(VARIABLE_VALUE) INTO plugin, old_period
    FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'wsrep_provider_evs_join_retrans_period';
  IF plugin = 0 THEN
    SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
      @@GLOBAL.wsrep_provider_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
  END IF;
  SELECT MAX(IF(VARIABLE_NAME = 'wsrep_cluster_conf_id', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_status', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_state', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_size', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_gcomm_uuid', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_evict_list', VARIABLE_VALUE, NULL))
    INTO seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list
    FROM information_schema.GLOBAL_STATUS
    WHERE VARIABLE_NAME IN ('wsrep_cluster_conf_id', 'wsrep_cluster_status', 'wsrep_evs_state', 'wsrep_cluster_size', 'wsrep_gcomm_uuid', 'wsrep_evs_evict_list');
  IF new_period REGEXP '^(PT[0-9]{1,2}([.][0-9]{1,6})?S|[0-9]{1,2}([.][0-9]{1,6})?)$' AND new_period NOT REGEXP '[^0-9PTS.]' THEN
    SET seconds = TRIM(TRAILING 'S' FROM TRIM(LEADING 'PT' FROM new_period));
  END IF;
  SET outcome = CASE
    WHEN (seconds BETWEEN 0.1 AND 60) IS NOT TRUE THEN 'malformed-period'
    ELSE 'cleared'
  END;
  IF outcome = 'cleared' THEN
    IF plugin > 0 THEN
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_join_retrans_period = ?' USING seconds;
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_evict = ?' USING '';
    ELSE
      SET GLOBAL wsrep_provider_options = CONCAT('evs.join_retrans_period=PT', seconds, 'S;evs.evict=');
    END IF;
  END IF;
  SELECT VARIABLE_VALUE INTO evict_list_now FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_evs_evict_list';
  SET SESSION wsrep_sync_wait = sync_wait;
  SELECT outcome, seen_conf_id AS conf_id, seen_cluster_status AS cluster_status, seen_evs_state AS evs_state, seen_cluster_size AS cluster_size, seen_gcomm_uuid AS gcomm_uuid, seen_evict_list AS evict_list, old_period AS join_retrans_period, evict_list_now;
END//
DELIMITER ;
SET SESSION sql_mode = @haproxyd_sql_mode;
GRANT EXECUTE ON PROCEDURE haproxyd_galera.clear_evicted TO 'haproxyd_definer'@'localhost';
GRANT EXECUTE ON PROCEDURE haproxyd_galera.clear_evicted TO 'haproxyd'@'10.0.0.%';

-- evict (--evict): tells Galera that a dead node is dead. Without it every crash of a node stops all commits for
-- Galera's own time, about 6 s by default. Does nothing unless this node is Primary at that conf_id, OPERATIONAL, in a
-- cluster of three members or more, the list is empty, and the victim is another member.
SET @haproxyd_sql_mode = @@SESSION.sql_mode;
SET SESSION sql_mode = 'STRICT_ALL_TABLES';
DELIMITER //
CREATE OR REPLACE DEFINER = 'haproxyd_definer'@'localhost' PROCEDURE haproxyd_galera.evict(
  IN victim VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin,
  IN expected_conf_id BIGINT UNSIGNED,
  IN new_period VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
BEGIN
  DECLARE sync_wait BIGINT UNSIGNED DEFAULT @@SESSION.wsrep_sync_wait;
  DECLARE plugin INT;
  DECLARE outcome, old_period, evict_list_now, seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list VARCHAR(2048) CHARACTER SET utf8mb4;
  DECLARE seconds DECIMAL(8,6);
  DECLARE members INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    SET SESSION wsrep_sync_wait = sync_wait;
    RESIGNAL;
  END;
  SET SESSION wsrep_sync_wait = 0;
  SELECT COUNT(*), MAX(VARIABLE_VALUE) INTO plugin, old_period
    FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'wsrep_provider_evs_join_retrans_period';
  IF plugin = 0 THEN
    SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
      @@GLOBAL.wsrep_provider_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
  END IF;
  SELECT MAX(IF(VARIABLE_NAME = 'wsrep_cluster_conf_id', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_status', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_state', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_size', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_gcomm_uuid', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_evict_list', VARIABLE_VALUE, NULL))
    INTO seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list
    FROM information_schema.GLOBAL_STATUS
    WHERE VARIABLE_NAME IN ('wsrep_cluster_conf_id', 'wsrep_cluster_status', 'wsrep_evs_state', 'wsrep_cluster_size', 'wsrep_gcomm_uuid', 'wsrep_evs_evict_list');
  SELECT COUNT(*) INTO members FROM mysql.wsrep_cluster_members WHERE node_uuid = CONVERT(victim USING utf8mb4);
  IF new_period REGEXP '^(PT[0-9]{1,2}([.][0-9]{1,6})?S|[0-9]{1,2}([.][0-9]{1,6})?)$' AND new_period NOT REGEXP '[^0-9PTS.]' THEN
    SET seconds = TRIM(TRAILING 'S' FROM TRIM(LEADING 'PT' FROM new_period));
  END IF;
  SET outcome = CASE
    WHEN (seconds BETWEEN 0.1 AND 60) IS NOT TRUE THEN 'malformed-period'
    WHEN ((CHAR_LENGTH(victim) = 36 AND victim REGEXP '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')) IS NOT TRUE THEN 'malformed-uuid'
    WHEN (seen_cluster_status = 'Primary') IS NOT TRUE THEN 'not-primary'
    WHEN (CAST(seen_conf_id AS UNSIGNED) = expected_conf_id) IS NOT TRUE THEN 'other-conf-id'
    WHEN (seen_evs_state = 'OPERATIONAL') IS NOT TRUE THEN 'not-operational'
    WHEN (seen_gcomm_uuid <> CONVERT(victim USING utf8mb4)) IS NOT TRUE THEN 'own-uuid'
    WHEN (members = 1) IS NOT TRUE THEN 'not-a-member'
    WHEN (seen_cluster_size >= 3) IS NOT TRUE THEN 'wrong-size'
    WHEN (seen_evict_list = '') IS NOT TRUE THEN 'list-not-empty'
    WHEN ((old_period REGEXP '^(PT[0-9]{1,2}([.][0-9]{1,6})?S|[0-9]{1,2}([.][0-9]{1,6})?)$' AND old_period NOT REGEXP '[^0-9PTS.]')) IS NOT TRUE THEN 'period-unknown'
    ELSE 'evicted'
  END;
  IF outcome = 'evicted' THEN
    IF plugin > 0 THEN
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_join_retrans_period = ?' USING seconds;
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_evict = ?' USING victim;
    ELSE
      SET GLOBAL wsrep_provider_options = CONCAT('evs.join_retrans_period=PT', seconds, 'S;evs.evict=', victim);
    END IF;
  END IF;
  SELECT VARIABLE_VALUE INTO evict_list_now FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_evs_evict_list';
  SET SESSION wsrep_sync_wait = sync_wait;
  SELECT outcome, seen_conf_id AS conf_id, seen_cluster_status AS cluster_status, seen_evs_state AS evs_state, seen_cluster_size AS cluster_size, seen_gcomm_uuid AS gcomm_uuid, seen_evict_list AS evict_list, old_period AS join_retrans_period, evict_list_now;
END//
DELIMITER ;
SET SESSION sql_mode = @haproxyd_sql_mode;
GRANT EXECUTE ON PROCEDURE haproxyd_galera.evict TO 'haproxyd_definer'@'localhost';
GRANT EXECUTE ON PROCEDURE haproxyd_galera.evict TO 'haproxyd'@'10.0.0.%';

-- evict-last (--evict-last): the same for the last of two: it stays Primary by itself. RISK: if the other one is not
-- dead but cut off, and whoever calls this is wrong about it, there are two clusters with different data.
SET @haproxyd_sql_mode = @@SESSION.sql_mode;
SET SESSION sql_mode = 'STRICT_ALL_TABLES';
DELIMITER //
CREATE OR REPLACE DEFINER = 'haproxyd_definer'@'localhost' PROCEDURE haproxyd_galera.evict_last(
  IN victim VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin,
  IN expected_conf_id BIGINT UNSIGNED,
  IN new_period VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
BEGIN
  DECLARE sync_wait BIGINT UNSIGNED DEFAULT @@SESSION.wsrep_sync_wait;
  DECLARE plugin INT;
  DECLARE outcome, old_period, evict_list_now, seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list VARCHAR(2048) CHARACTER SET utf8mb4;
  DECLARE seconds DECIMAL(8,6);
  DECLARE members INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    SET SESSION wsrep_sync_wait = sync_wait;
    RESIGNAL;
  END;
  SET SESSION wsrep_sync_wait = 0;
  SELECT COUNT(*), MAX(VARIABLE_VALUE) INTO plugin, old_period
    FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'wsrep_provider_evs_join_retrans_period';
  IF plugin = 0 THEN
    SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
      @@GLOBAL.wsrep_provider_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
  END IF;
  SELECT MAX(IF(VARIABLE_NAME = 'wsrep_cluster_conf_id', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_status', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_state', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_size', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_gcomm_uuid', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_evict_list', VARIABLE_VALUE, NULL))
    INTO seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list
    FROM information_schema.GLOBAL_STATUS
    WHERE VARIABLE_NAME IN ('wsrep_cluster_conf_id', 'wsrep_cluster_status', 'wsrep_evs_state', 'wsrep_cluster_size', 'wsrep_gcomm_uuid', 'wsrep_evs_evict_list');
  SELECT COUNT(*) INTO members FROM mysql.wsrep_cluster_members WHERE node_uuid = CONVERT(victim USING utf8mb4);
  IF new_period REGEXP '^(PT[0-9]{1,2}([.][0-9]{1,6})?S|[0-9]{1,2}([.][0-9]{1,6})?)$' AND new_period NOT REGEXP '[^0-9PTS.]' THEN
    SET seconds = TRIM(TRAILING 'S' FROM TRIM(LEADING 'PT' FROM new_period));
  END IF;
  SET outcome = CASE
    WHEN (seconds BETWEEN 0.1 AND 60) IS NOT TRUE THEN 'malformed-period'
    WHEN ((CHAR_LENGTH(victim) = 36 AND victim REGEXP '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')) IS NOT TRUE THEN 'malformed-uuid'
    WHEN (seen_cluster_status = 'Primary') IS NOT TRUE THEN 'not-primary'
    WHEN (CAST(seen_conf_id AS UNSIGNED) = expected_conf_id) IS NOT TRUE THEN 'other-conf-id'
    WHEN (seen_evs_state = 'OPERATIONAL') IS NOT TRUE THEN 'not-operational'
    WHEN (seen_gcomm_uuid <> CONVERT(victim USING utf8mb4)) IS NOT TRUE THEN 'own-uuid'
    WHEN (members = 1) IS NOT TRUE THEN 'not-a-member'
    WHEN (seen_cluster_size = 2) IS NOT TRUE THEN 'wrong-size'
    WHEN (seen_evict_list = '') IS NOT TRUE THEN 'list-not-empty'
    WHEN ((old_period REGEXP '^(PT[0-9]{1,2}([.][0-9]{1,6})?S|[0-9]{1,2}([.][0-9]{1,6})?)$' AND old_period NOT REGEXP '[^0-9PTS.]')) IS NOT TRUE THEN 'period-unknown'
    ELSE 'evicted'
  END;
  IF outcome = 'evicted' THEN
    IF plugin > 0 THEN
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_join_retrans_period = ?' USING seconds;
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_evict = ?' USING victim;
    ELSE
      SET GLOBAL wsrep_provider_options = CONCAT('evs.join_retrans_period=PT', seconds, 'S;evs.evict=', victim);
    END IF;
  END IF;
  SELECT VARIABLE_VALUE INTO evict_list_now FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_evs_evict_list';
  SET SESSION wsrep_sync_wait = sync_wait;
  SELECT outcome, seen_conf_id AS conf_id, seen_cluster_status AS cluster_status, seen_evs_state AS evs_state, seen_cluster_size AS cluster_size, seen_gcomm_uuid AS gcomm_uuid, seen_evict_list AS evict_list, old_period AS join_retrans_period, evict_list_now;
END//
DELIMITER ;
SET SESSION sql_mode = @haproxyd_sql_mode;
GRANT EXECUTE ON PROCEDURE haproxyd_galera.evict_last TO 'haproxyd_definer'@'localhost';
GRANT EXECUTE ON PROCEDURE haproxyd_galera.evict_last TO 'haproxyd'@'10.0.0.%';
