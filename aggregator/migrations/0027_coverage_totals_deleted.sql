-- What a mutation deletes lies in the parts that it replaced until these are removed: soon, not after the usual eight minutes.
ALTER TABLE coverage_totals MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1, max_cleanup_delay_period = 1,
    cleanup_delay_period_random_add = 0
