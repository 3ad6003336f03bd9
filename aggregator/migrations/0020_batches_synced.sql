-- A merge that is not synced undoes the sync of what it merged: after a power cut its part may be there and unreadable.
ALTER TABLE batches MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1
