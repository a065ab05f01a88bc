(* Reads layers and hints in the plain form that lastbit.certificate.coq writes, derives a certificate
   by the extracted [derive], and decides it by the extracted [check]. Prints "accepted U R" in units
   of 2^-100, or "rejected". Each line "row UNIT FIELD NUMBER" then asks for the verdict on a
   certificate that has this number in place of the derived one: "UNIT FIELD accepted" or "rejected".
   Lines "image ..." and "values ..." (of all units) ask instead whether Statement.v admits what was
   computed: "unit UNIT WAY" one unit's value, "softmax TOP DIFFERENCES POWERS TREE DIVISIONS
   PROBABILITIES" the probabilities, "execution" all of it, in the ways last named. A WAY is "plain" or
   "sum TREE"; a TREE is "c X" for a number, "p V CONSTANT TREE" for a product, "d V C TREE" for a quotient by
   the number C, "a V LEFT RIGHT" for a sum, each with its result V; a CONSTANT is "n C", "p V A B", "q V C A"
   for A over the number C, or "r V C" for its reciprocal. A division of softmax is "direct" or
   "reciprocal I". *)
open Checker

let rec nat_of n = if n = 0 then O else S (nat_of (n - 1))

(* Hexadecimal digits to binary numbers, most significant bit first. *)
let positive_of digits =
  let bit p b = match p with
    | None -> if b then Some XH else None
    | Some p -> Some (if b then XI p else XO p) in
  let digit p c =
    let d = int_of_string ("0x" ^ String.make 1 c) in
    List.fold_left (fun p k -> bit p ((d lsr k) land 1 = 1)) p [3; 2; 1; 0] in
  String.fold_left digit None digits

let z_of word =
  let negative = word.[0] = '-' in
  let digits = if negative then String.sub word 1 (String.length word - 1) else word in
  match positive_of digits with None -> Z0 | Some p -> if negative then Zneg p else Zpos p

let hex z =
  let rec bits = function XH -> [true] | XO p -> false :: bits p | XI p -> true :: bits p in
  let rec digits = function
    | [] -> ""
    | l ->
      let take k l = if List.length l > k then List.nth l k else false in
      let d = List.fold_left (fun d k -> (2 * d) + Bool.to_int (take k l)) 0 [3; 2; 1; 0] in
      let rest = List.filteri (fun i _ -> i >= 4) l in
      digits rest ^ Printf.sprintf "%x" d in
  match z with Z0 -> "0" | Zpos p -> digits (bits p) | Zneg p -> "-" ^ digits (bits p)

let layers = ref [] and hints = ref [] and changes = ref []

(* The unit's number, from 1, as Coq holds it, and back. *)
let rec unit_of k = if k = 1 then XH else if k land 1 = 1 then XI (unit_of (k / 2)) else XO (unit_of (k / 2))
let rec int_of = function XH -> 1 | XO p -> 2 * int_of p | XI p -> 2 * int_of p + 1
let rec int_of_nat = function O -> 0 | S n -> 1 + int_of_nat n

(* What was computed, so far; [questions] are asked of the network, which is known at the end. *)
let image = ref [||] and values = ref [||] and ways = Hashtbl.create 1000
let softmax = ref None and questions = ref []
let ask name question = questions := (name, question) :: !questions
let at array n = let i = int_of_nat n in if i < Array.length array then array.(i) else Z0
let units array k = array.(int_of k - 1)

let rec folding next = match next () with
  | "n" -> FNumber (z_of (next ()))
  | "p" -> let v = z_of (next ()) in let a = folding next in FProduct (a, folding next, v)
  | "q" -> let v = z_of (next ()) in let c = z_of (next ()) in FQuotient (folding next, c, v)
  | "r" -> let v = z_of (next ()) in FReciprocal (z_of (next ()), v)
  | word -> failwith ("unknown constant " ^ word)

let rec tree next = match next () with
  | "c" -> WNumber (z_of (next ()))
  | "p" -> let v = z_of (next ()) in let c = folding next in WTimes (c, tree next, v)
  | "d" -> let v = z_of (next ()) in let c = z_of (next ()) in WOver (c, tree next, v)
  | "a" -> let v = z_of (next ()) in let a = tree next in WAdd (a, tree next, v)
  | word -> failwith ("unknown node " ^ word)

let division next = match next () with
  | "direct" -> Direct
  | "reciprocal" -> Reciprocal (z_of (next ()))
  | word -> failwith ("unknown division " ^ word)

let parse words =
  let rest = ref words in
  let next () = match !rest with [] -> failwith "too few words" | w :: r -> rest := r; w in
  let number () = int_of_string (next ()) in
  let nat () = nat_of (number ()) in
  let zs () = let n = number () in List.init n (fun _ -> z_of (next ())) in
  let layer l = layers := l :: !layers in
  (match next () with
   | "bytes" -> let c = nat () in let h = nat () in let w = nat () in layer (LBytes (c, h, w))
   | "sum" ->
     let over = match next () with "whole" -> None | "over" -> Some (z_of (next ())) | word -> failwith ("unknown word " ^ word) in
     let part () = match next () with
       | "tensor" -> PTensor (nat ())
       | "planes" -> PPlanes (nat ())
       | "convolution" ->
         let x = nat () in let zweights = zs () in let zbias = zs () in
         let zoutputs = nat () in let zgroups = nat () in let zrows = nat () in let zcols = nat () in
         let zstride_y = nat () in let zstride_x = nat () in let ztop = nat () in let zleft = nat () in
         let h = nat () in let w = nat () in
         PConvolution (x, { zweights; zbias; zoutputs; zgroups; zrows; zcols; zstride_y; zstride_x; ztop; zleft }, h, w)
       | word -> failwith ("unknown part " ^ word) in
     let n = number () in
     let parts = List.init n (fun _ -> part ()) in
     layer (LSum (over, parts, zs ()))
   | "silu" -> layer (LSilu (nat ()))
   | "sigmoid" -> layer (LSigmoid (nat ()))
   | "gate" -> let x = nat () in let s = nat () in layer (LGate (x, s))
   | "hint" ->
     let hslope = z_of (next ()) in let hduals = zs () in let hbase = next () = "true" in
     let hbox = next () = "true" in
     hints := { hslope; hduals; hbase; hbox } :: !hints
   | "image" -> image := Array.of_list (zs ())
   | "values" -> values := Array.of_list (zs ())
   | "unit" ->
     let k = number () in
     let w = match next () with
       | "plain" -> Plain
       | "sum" -> Tree (tree next)
       | word -> failwith ("unknown way " ^ word) in
     Hashtbl.replace ways k w;
     let v = at !image and x = !values in
     ask (string_of_int k) (fun net -> admits_unit (List.nth net.cunits (k - 1)) v (units x) x.(k - 1) w)
   | "softmax" ->
     let s_top = nat () in let s_differences = zs () in let s_powers = zs () in let s_sum = tree next in
     let s_divisions = List.map (fun _ -> division next) s_powers in
     let w = { s_top; s_differences; s_powers; s_sum; s_divisions } in
     let p = Array.of_list (zs ()) and x = !values in
     softmax := Some (w, p);
     ask "softmax" (fun net ->
       admits_softmax (nat_of (Array.length p)) (logit_of net (units x)) (at p) w)
   | "execution" ->
     let v = at !image and x = !values and ways = Hashtbl.copy ways in
     let w, p = Option.get !softmax in
     ask "execution" (fun net ->
       admits_execution net v (units x) (at p) (fun k -> Hashtbl.find ways (int_of k)) w)
   | "row" ->
     let k = number () in let field = next () in changes := (k, field, z_of (next ())) :: !changes
   | word -> failwith ("unknown word " ^ word));
  if !rest <> [] then failwith "too many words"

(* One row with a number put in the place of another: a certificate that nobody derived. *)
let changed crt (k, field, z) =
  let r = row_of crt.c_rows (unit_of k) in
  let first = function [] -> [z] | _ :: l -> z :: l in
  let r = match field with
    | "slope" -> { r with r_slope = z } | "centre" -> { r with r_centre = z }
    | "rest" -> { r with r_rest = z } | "rho" -> { r with r_rho = z } | "err" -> { r with r_err = z }
    | "rad" -> { r with r_rad = z } | "bend" -> { r with r_bend = first r.r_bend }
    | "rem" -> { r with r_rem = first r.r_rem }
    | "own" -> { r with r_own = first r.r_own } | "move" -> { r with r_move = first r.r_move }
    | "dual" -> { r with r_duals = first r.r_duals }
    | "column" -> { r with r_cols = (match r.r_cols with [] -> [] | (_, j) :: l -> (z, j) :: l) }
    | _ -> failwith ("unknown field " ^ field) in
  { crt with c_rows = PositiveMap.add (unit_of k) r crt.c_rows }

let () =
  (try
     while true do
       match List.filter (( <> ) "") (String.split_on_char ' ' (input_line stdin)) with
       | [] -> ()
       | words -> parse words
     done
   with End_of_file -> ());
  let net = expand (List.rev !layers) in
  List.iter
    (fun (name, question) -> Printf.printf "%s %s\n" name (if question net then "admitted" else "refused"))
    (List.rev !questions);
  if !questions <> [] then exit 0;
  let crt = derive net (List.rev !hints) in
  if check net crt then Printf.printf "accepted %s %s\n" (hex crt.c_upper) (hex crt.c_bound)
  else print_endline "rejected";
  List.iter
    (fun (k, field, z) ->
       let verdict = if check net (changed crt (k, field, z)) then "accepted" else "rejected" in
       Printf.printf "%d %s %s\n" k field verdict)
    (List.rev !changes)
