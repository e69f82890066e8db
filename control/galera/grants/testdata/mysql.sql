-- The rights of haproxyd's account. Run this once, on one node, as an administrator: accounts,
-- grants and procedures are DDL, which Galera carries to all nodes (wsrep_OSU_method TOI, the default).
--
-- For MySQL and Percona XtraDB Cluster 8: the accounts, grants and procedures were accepted by a MySQL without
-- Galera. What the procedures do was READ in the manuals, NOT RUN: Percona XtraDB Cluster could not be had.

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
CREATE USER IF NOT EXISTS 'haproxyd_definer'@'localhost' ACCOUNT LOCK;
GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO 'haproxyd_definer'@'localhost';
GRANT SELECT ON mysql.wsrep_cluster_members TO 'haproxyd_definer'@'localhost';
CREATE SCHEMA IF NOT EXISTS haproxyd_galera;

-- evict, evict-last: empties the list of evicted members, all of it, and puts evs.join_retrans_period back.
SET @haproxyd_sql_mode = @@SESSION.sql_mode;
SET SESSION sql_mode = 'STRICT_ALL_TABLES';
DROP PROCEDURE IF EXISTS haproxyd_galera.clear_evicted;
DELIMITER //
CREATE DEFINER = 'haproxyd_definer'@'localhost' PROCEDURE haproxyd_galera.clear_evicted(IN new_period VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
BEGIN
  DECLARE outcome, old_period, evict_list_now, seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list VARCHAR(2048) CHARACTER SET utf8mb4;
  DECLARE seconds DECIMAL(8,6);
  DECLARE members INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    IF @haproxyd_sync_wait IS NOT NULL THEN
      SET @haproxyd_statement = CONCAT('SET SESSION wsrep_sync_wait = ', CAST(@haproxyd_sync_wait AS UNSIGNED));
      PREPARE haproxyd_statement FROM @haproxyd_statement;
      EXECUTE haproxyd_statement;
      DEALLOCATE PREPARE haproxyd_statement;
    END IF;
    RESIGNAL;
  END;
  SET @haproxyd_sync_wait = NULL, @haproxyd_options = NULL;
  BEGIN
    DECLARE EXIT HANDLER FOR 1193 BEGIN END; -- no such variable: a server without Galera, which is refused below
    SET @haproxyd_statement = 'SELECT @@SESSION.wsrep_sync_wait, @@GLOBAL.wsrep_provider_options INTO @haproxyd_sync_wait, @haproxyd_options';
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
    SET @haproxyd_statement = 'SET SESSION wsrep_sync_wait = 0';
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
  END;
  SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
    @haproxyd_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
  SELECT MAX(IF(VARIABLE_NAME = 'wsrep_cluster_conf_id', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_status', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_state', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_size', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_gcomm_uuid', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_evict_list', VARIABLE_VALUE, NULL))
    INTO seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list
    FROM performance_schema.global_status
    WHERE VARIABLE_NAME IN ('wsrep_cluster_conf_id', 'wsrep_cluster_status', 'wsrep_evs_state', 'wsrep_cluster_size', 'wsrep_gcomm_uuid', 'wsrep_evs_evict_list');
  IF new_period REGEXP '^(PT[0-9]{1,2}([.][0-9]{1,6})?S|[0-9]{1,2}([.][0-9]{1,6})?)$' AND new_period NOT REGEXP '[^0-9PTS.]' THEN
    SET seconds = TRIM(TRAILING 'S' FROM TRIM(LEADING 'PT' FROM new_period));
  END IF;
  SET outcome = CASE
    WHEN (seconds BETWEEN 0.1 AND 60) IS NOT TRUE THEN 'malformed-period'
    ELSE 'cleared'
  END;
  IF outcome = 'cleared' THEN
    SET @haproxyd_statement = CONCAT('SET GLOBAL wsrep_provider_options = ''evs.join_retrans_period=PT', seconds, 'S;evs.evict=''');
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
  END IF;
  SELECT VARIABLE_VALUE INTO evict_list_now FROM performance_schema.global_status WHERE VARIABLE_NAME = 'wsrep_evs_evict_list';
  IF @haproxyd_sync_wait IS NOT NULL THEN
      SET @haproxyd_statement = CONCAT('SET SESSION wsrep_sync_wait = ', CAST(@haproxyd_sync_wait AS UNSIGNED));
      PREPARE haproxyd_statement FROM @haproxyd_statement;
      EXECUTE haproxyd_statement;
      DEALLOCATE PREPARE haproxyd_statement;
    END IF;
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
DROP PROCEDURE IF EXISTS haproxyd_galera.evict;
DELIMITER //
CREATE DEFINER = 'haproxyd_definer'@'localhost' PROCEDURE haproxyd_galera.evict(
  IN victim VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin,
  IN expected_conf_id BIGINT UNSIGNED,
  IN new_period VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
BEGIN
  DECLARE outcome, old_period, evict_list_now, seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list VARCHAR(2048) CHARACTER SET utf8mb4;
  DECLARE seconds DECIMAL(8,6);
  DECLARE members INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    IF @haproxyd_sync_wait IS NOT NULL THEN
      SET @haproxyd_statement = CONCAT('SET SESSION wsrep_sync_wait = ', CAST(@haproxyd_sync_wait AS UNSIGNED));
      PREPARE haproxyd_statement FROM @haproxyd_statement;
      EXECUTE haproxyd_statement;
      DEALLOCATE PREPARE haproxyd_statement;
    END IF;
    RESIGNAL;
  END;
  SET @haproxyd_sync_wait = NULL, @haproxyd_options = NULL;
  BEGIN
    DECLARE EXIT HANDLER FOR 1193 BEGIN END; -- no such variable: a server without Galera, which is refused below
    SET @haproxyd_statement = 'SELECT @@SESSION.wsrep_sync_wait, @@GLOBAL.wsrep_provider_options INTO @haproxyd_sync_wait, @haproxyd_options';
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
    SET @haproxyd_statement = 'SET SESSION wsrep_sync_wait = 0';
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
  END;
  SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
    @haproxyd_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
  SELECT MAX(IF(VARIABLE_NAME = 'wsrep_cluster_conf_id', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_status', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_state', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_size', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_gcomm_uuid', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_evict_list', VARIABLE_VALUE, NULL))
    INTO seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list
    FROM performance_schema.global_status
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
    SET @haproxyd_statement = CONCAT('SET GLOBAL wsrep_provider_options = ''evs.join_retrans_period=PT', seconds, 'S;evs.evict=', victim, '''');
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
  END IF;
  SELECT VARIABLE_VALUE INTO evict_list_now FROM performance_schema.global_status WHERE VARIABLE_NAME = 'wsrep_evs_evict_list';
  IF @haproxyd_sync_wait IS NOT NULL THEN
      SET @haproxyd_statement = CONCAT('SET SESSION wsrep_sync_wait = ', CAST(@haproxyd_sync_wait AS UNSIGNED));
      PREPARE haproxyd_statement FROM @haproxyd_statement;
      EXECUTE haproxyd_statement;
      DEALLOCATE PREPARE haproxyd_statement;
    END IF;
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
DROP PROCEDURE IF EXISTS haproxyd_galera.evict_last;
DELIMITER //
CREATE DEFINER = 'haproxyd_definer'@'localhost' PROCEDURE haproxyd_galera.evict_last(
  IN victim VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin,
  IN expected_conf_id BIGINT UNSIGNED,
  IN new_period VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
BEGIN
  DECLARE outcome, old_period, evict_list_now, seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list VARCHAR(2048) CHARACTER SET utf8mb4;
  DECLARE seconds DECIMAL(8,6);
  DECLARE members INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    IF @haproxyd_sync_wait IS NOT NULL THEN
      SET @haproxyd_statement = CONCAT('SET SESSION wsrep_sync_wait = ', CAST(@haproxyd_sync_wait AS UNSIGNED));
      PREPARE haproxyd_statement FROM @haproxyd_statement;
      EXECUTE haproxyd_statement;
      DEALLOCATE PREPARE haproxyd_statement;
    END IF;
    RESIGNAL;
  END;
  SET @haproxyd_sync_wait = NULL, @haproxyd_options = NULL;
  BEGIN
    DECLARE EXIT HANDLER FOR 1193 BEGIN END; -- no such variable: a server without Galera, which is refused below
    SET @haproxyd_statement = 'SELECT @@SESSION.wsrep_sync_wait, @@GLOBAL.wsrep_provider_options INTO @haproxyd_sync_wait, @haproxyd_options';
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
    SET @haproxyd_statement = 'SET SESSION wsrep_sync_wait = 0';
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
  END;
  SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
    @haproxyd_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
  SELECT MAX(IF(VARIABLE_NAME = 'wsrep_cluster_conf_id', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_status', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_state', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_cluster_size', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_gcomm_uuid', VARIABLE_VALUE, NULL)),
      MAX(IF(VARIABLE_NAME = 'wsrep_evs_evict_list', VARIABLE_VALUE, NULL))
    INTO seen_conf_id, seen_cluster_status, seen_evs_state, seen_cluster_size, seen_gcomm_uuid, seen_evict_list
    FROM performance_schema.global_status
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
    SET @haproxyd_statement = CONCAT('SET GLOBAL wsrep_provider_options = ''evs.join_retrans_period=PT', seconds, 'S;evs.evict=', victim, '''');
    PREPARE haproxyd_statement FROM @haproxyd_statement;
    EXECUTE haproxyd_statement;
    DEALLOCATE PREPARE haproxyd_statement;
  END IF;
  SELECT VARIABLE_VALUE INTO evict_list_now FROM performance_schema.global_status WHERE VARIABLE_NAME = 'wsrep_evs_evict_list';
  IF @haproxyd_sync_wait IS NOT NULL THEN
      SET @haproxyd_statement = CONCAT('SET SESSION wsrep_sync_wait = ', CAST(@haproxyd_sync_wait AS UNSIGNED));
      PREPARE haproxyd_statement FROM @haproxyd_statement;
      EXECUTE haproxyd_statement;
      DEALLOCATE PREPARE haproxyd_statement;
    END IF;
  SELECT outcome, seen_conf_id AS conf_id, seen_cluster_status AS cluster_status, seen_evs_state AS evs_state, seen_cluster_size AS cluster_size, seen_gcomm_uuid AS gcomm_uuid, seen_evict_list AS evict_list, old_period AS join_retrans_period, evict_list_now;
END//
DELIMITER ;
SET SESSION sql_mode = @haproxyd_sql_mode;
GRANT EXECUTE ON PROCEDURE haproxyd_galera.evict_last TO 'haproxyd_definer'@'localhost';
GRANT EXECUTE ON PROCEDURE haproxyd_galera.evict_last TO 'haproxyd'@'10.0.0.%';
