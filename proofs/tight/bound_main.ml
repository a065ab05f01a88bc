(* lastbit-coq-bound MODEL FLAGS: bounds an ONNX file by the extracted [decide]. FLAGS, which
   proofs/tight/write.py writes, has a line "base box" of 0 or 1 for each node, then "boundary N" and
   "ratio N". Prints the SHA-256 of the file, and "accepted U R" in units of 2^-100, or "refused" (exit code 1;
   2 for files that cannot be read). *)
open Bound

let rec positive_of n =
  if n = 1 then XH else if n land 1 = 1 then XI (positive_of (n / 2)) else XO (positive_of (n / 2))

let z_of n = if n = 0 then Z0 else Zpos (positive_of n)

let hexadecimal z =
  let rec bits = function XH -> [ 1 ] | XO p -> 0 :: bits p | XI p -> 1 :: bits p in
  let rec digits = function
    | a :: b :: c :: d :: rest -> digits rest ^ Printf.sprintf "%x" (a + (2 * b) + (4 * c) + (8 * d))
    | [] -> ""
    | few -> digits (few @ [ 0 ]) in
  match z with Z0 -> "0" | Zpos p -> digits (bits p) | Zneg p -> "-" ^ digits (bits p)

let fail message = prerr_endline ("lastbit-coq-bound: " ^ message); exit 2

let contents path =
  try
    let channel = open_in_bin path in
    let text = really_input_string channel (in_channel_length channel) in
    close_in channel; text
  with Sys_error message -> fail message

let () =
  if Array.length Sys.argv <> 3 then fail "usage: lastbit-coq-bound MODEL FLAGS";
  let text = contents Sys.argv.(1) in
  let file = List.init (String.length text) (fun k -> Char.code text.[k]) in
  let flags = ref [] and boundary = ref 0 and ratio = ref 0 in
  let line text =
    match String.split_on_char ' ' text with
    | [ "boundary"; n ] -> boundary := int_of_string n
    | [ "ratio"; n ] -> ratio := int_of_string n
    | [ base; box ] -> flags := (base = "1", box = "1") :: !flags
    | [ "" ] -> ()
    | _ -> fail (Sys.argv.(2) ^ " is not what proofs/tight/write.py writes: " ^ text) in
  List.iter line (String.split_on_char '\n' (contents Sys.argv.(2)));
  List.iter (Printf.printf "%08x") (sha256 file);
  print_newline ();
  let found =
    match read file with
    | Some nodes when sound nodes ->
        Option.map (fun r -> (nodes, r)) (decide file nodes (List.rev !flags) (z_of !ratio) !boundary)
    | _ -> None in
  match found with
  | None -> print_endline "refused"; exit 1
  | Some (nodes, r) ->
      let u = upper_of (z_of (List.length (logit_keys nodes))) r in
      Printf.printf "accepted %s %s\n" (hexadecimal u) (hexadecimal r)
