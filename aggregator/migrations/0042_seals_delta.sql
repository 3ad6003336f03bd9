-- The delta that belongs to `epsilon`.
ALTER TABLE seals ADD COLUMN IF NOT EXISTS delta Float64
