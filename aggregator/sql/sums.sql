-- What a reader can add up: the lines of a list, `adds` of each, and what they divide, `whole`. `divided` marks the places
-- of `adds` in which every row of the whole is in at most one line, `covered` those in which it is in some line.
-- `exceeds`: so far the lines add up to more than the whole; then not all shown numbers could be exact at once.
-- `binds`: all lines together, each at most k - 1 more than shown, cannot add up to each of the k values of the whole.
anyIf(adds, is_whole) OVER list AS whole,
sumForEach(arrayMap(number -> number * NOT is_whole, adds)) OVER list AS sums,
sumForEach(arrayMap(number -> number * NOT is_whole, adds)) OVER so_far AS sums_so_far,
maxForEach(arrayMap(is_hidden -> is_hidden AND NOT is_whole, hidden)) OVER list AS hidden_somewhere,
countIf(NOT is_whole) OVER list AS lines,
arrayExists((is_divided, unknown, of_whole, so_far) -> is_divided AND NOT unknown AND so_far > of_whole,
    divided, anyIf(hidden, is_whole) OVER list, whole, sums_so_far) AS exceeds,
arrayExists((is_covered, is_open, of_whole, of_lines) -> is_covered AND NOT is_open AND of_lines + lines * (step - 1) < of_whole + step - 1,
    covered, hidden_somewhere, whole, sums) AS binds
