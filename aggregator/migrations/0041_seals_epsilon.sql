-- What one visitor token loses on the day at the sites of level dp, as the privacy maps of the noise say: 0 where none has it.
ALTER TABLE seals ADD COLUMN IF NOT EXISTS epsilon Float64
