(** * The operators of an ONNX file, read inside Coq

    - [operators]: the operators of a file, in its order, each with the place of its weights: Conv,
      Gemm, Sigmoid, Mul, ReduceMean, GlobalAveragePool, Add, Div by a constant; Cast and Flatten
      rename, x times its Sigmoid is SiLU, Softmax is the last;
    - [read]: their normal form, of which the theorem about a file speaks.

    [None] if anything else is met: other operators, ranks or shapes that do not fit, attributes
    that an operator does not have, a name given twice, or a file that two readers could understand
    differently (Messages.v, Contents.v).

    A definition, to be read: it says what network a file stands for, and follows reading.py. Rests
    on Contents.v, File.v and Normal.v. *)

From Coq Require Import List NArith Arith Bool Uint63 String.
From Lastbit Require Import operations.Convolution.
From Lastbit Require Import onnx.Messages onnx.Contents onnx.File onnx.Normal.
Import ListNotations.
Open Scope N_scope.

(** ** Attributes *)

(** The operator has no attributes besides these. *)
Definition knows (o : operator) (l : list string) : bool :=
  forallb (fun a => existsb (String.eqb (fst a)) l) (attributes o).

(** What an attribute says, or [default] if it is left out. *)
Definition said (o : operator) (a : string) (default : attribute) : attribute :=
  match find (fun x => String.eqb (fst x) a) (attributes o) with
  | Some (_, v) => v
  | None => default
  end.

Definition equal (a b : attribute) : bool :=
  match a, b with One v, One w => v =? w | Several vs, Several ws => same vs ws | _, _ => false end.
Definition says (o : operator) (a : string) (default v : attribute) : bool :=
  equal (said o a default) v.

(** ** The network *)

(** What a name stands for: the bytes of the image; an operator's tensor, of four axes, or ([flat])
    of two; or the sigmoid of one that is not yet multiplied. *)
Inductive meaning := Image | Node (i : nat) (flat : bool) | SigmoidOf (i : nat) (flat : bool).

Record state := { known : list (string * meaning); made : list node; shapes : list tensor }.

Definition look (s : state) (x : string) : option meaning :=
  match find (fun e => String.eqb (fst e) x) (known s) with
  | Some (_, m) => Some m
  | None => None
  end.
Definition called (s : state) (y : string) (m : meaning) : state :=
  {| known := (y, m) :: known s; made := made s; shapes := shapes s |}.
Definition add (s : state) (n : node) : state :=
  {| known := known s; made := made s ++ [n]; shapes := shapes s ++ [tensor_of (shapes s) 0 n] |}.
Definition make (s : state) (y : string) (n : node) (flat : bool) : state :=
  called (add s n) y (Node (List.length (made s)) flat).

Definition shape (s : state) (i : nat) : tensor := nth i (shapes s) nowhere.
Definition constant_named (cs : list constant) (x : string) : option constant :=
  find (fun c => String.eqb (name c) x) cs.

Definition same_shape (s t : tensor) : bool :=
  ((channels s =? channels t) && (height s =? height t) && (width s =? width t))%nat.
Definition point (t : tensor) : bool := ((height t =? 1) && (width t =? 1))%nat.

(** Output places along one axis. *)
Definition extent (size before after kernel stride : N) : option nat :=
  only (0 <? stride) && (0 <? kernel) && (kernel <=? size + before + after) then
  Some (N.to_nat ((size + before + after - kernel) / stride + 1)).

Definition convolve (s : state) (o : operator) (i : nat) (w b : constant) : option node :=
  let t := shape s i in
  match dims w, dims b, said o "strides" (Several [1; 1]), said o "pads" (Several [0; 0; 0; 0]),
        said o "group" (One 1) with
  | [outs; per; kh; kw], [outs'], Several [sy; sx], Several [above; before; below; behind],
    One group =>
      only knows o ["strides"; "pads"; "group"; "kernel_shape"; "dilations"]%string &&
           says o "kernel_shape" (Several [kh; kw]) (Several [kh; kw]) &&
           says o "dilations" (Several [1; 1]) (Several [1; 1]) &&
           (outs =? outs') && (0 <? group) && (per * group =? N.of_nat (channels t)) &&
           (outs mod group =? 0) then
      let* high := extent (N.of_nat (height t)) above below kh sy in
      let* wide := extent (N.of_nat (width t)) before behind kw sx in
      Some (Conv i None [] {|
        weights_at := place_of w; bias_at := place_of b;
        w_outputs := N.to_nat outs; w_groups := N.to_nat group;
        w_rows := N.to_nat kh; w_cols := N.to_nat kw;
        w_stride_y := N.to_nat sy; w_stride_x := N.to_nat sx;
        w_top := N.to_nat above; w_left := N.to_nat before; w_height := high; w_width := wide |})
  | _, _, _, _, _ => None
  end.

(** A dense layer: a convolution by a kernel of one place. *)
Definition dense (s : state) (o : operator) (i : nat) (w b : constant) : option node :=
  match dims w, dims b with
  | [outs; ins], [outs'] =>
      only knows o ["transB"]%string && says o "transB" (One 0) (One 1) && (outs =? outs') &&
           (ins =? N.of_nat (channels (shape s i))) then
      Some (Conv i None [] {|
        weights_at := place_of w; bias_at := place_of b;
        w_outputs := N.to_nat outs; w_groups := 1; w_rows := 1; w_cols := 1;
        w_stride_y := 1; w_stride_x := 1; w_top := 0; w_left := 0; w_height := 1; w_width := 1 |})
  | _, _ => None
  end.

(** An operator that reads tensor [i] alone. *)
Definition step_one (s : state) (o : operator) (i : nat) (flat : bool) : option state :=
  let k := kind o in let y := writes o in
  if String.eqb k "Flatten" then
    only point (shape s i) && knows o ["axis"]%string && says o "axis" (One 1) (One 1) then
    Some (called s y (Node i true))
  else if String.eqb k "Sigmoid" then
    only knows o [] then Some (called s y (SigmoidOf i flat))
  else if String.eqb k "GlobalAveragePool" then
    only negb flat && knows o [] then Some (make s y (Average i) false)
  else if String.eqb k "ReduceMean" then
    only negb flat && knows o ["axes"; "keepdims"]%string &&
         says o "axes" (Several []) (Several [2; 3]) && says o "keepdims" (One 1) (One 1) then
    Some (make s y (Average i) false)
  else None.

(** A product with a sigmoid: SiLU, or a gate. *)
Definition product (s : state) (y : string) (i j : nat) (flat : bool) : option state :=
  if (i =? j)%nat then Some (make s y (Curve i) flat) else
  only (channels (shape s i) =? channels (shape s j))%nat && point (shape s j) then
  Some (make (add s (Squash j)) y (Gated i (List.length (made s))) flat).

(** One operator, by what it reads. *)
Definition step (cs : list constant) (s : state) (o : operator) : option state :=
  let y := writes o in let k := kind o in
  only named y && none (filter (String.eqb y) (map fst (known s) ++ map name cs)) then
  match map (look s) (reads o), map (constant_named cs) (reads o) with
  | [Some Image], _ =>
      only String.eqb k "Cast" && knows o ["to"]%string && says o "to" (One 0) (One FLOAT) then
      Some (called s y (Node 0 false))
  | [Some (Node i flat)], _ => step_one s o i flat
  | [Some (Node i flat); None], [_; Some d] =>
      only String.eqb k "Div" && knows o [] && same (dims d) [1] &&
           (channels (shape s i) =? 1)%nat then
      Some (make s y (Divide i (place_of d)) flat)
  | [Some (Node i false); None; None], [_; Some w; Some b] =>
      only String.eqb k "Conv" then let* n := convolve s o i w b in Some (make s y n false)
  | [Some (Node i true); None; None], [_; Some w; Some b] =>
      only String.eqb k "Gemm" then let* n := dense s o i w b in Some (make s y n true)
  | [Some (Node i flat); Some (Node j flat')], _ =>
      only String.eqb k "Add" && knows o [] && Bool.eqb flat flat' &&
           same_shape (shape s i) (shape s j) then
      Some (make s y (Plus [i; j]) flat)
  | [Some (Node i flat); Some (SigmoidOf j flat')], _ =>
      only String.eqb k "Mul" && knows o [] && Bool.eqb flat flat' then product s y i j flat
  | _, _ => None
  end.

(** All but the last operator, which is Softmax of the last tensor and writes the file's answer. *)
Fixpoint steps (cs : list constant) (s : state) (answer : string) (classes : N)
  (os : list operator) : option (list node) :=
  match os with
  | [] => None
  | [o] =>
      match map (look s) (reads o) with
      | [Some (Node i true)] =>
          only String.eqb (kind o) "Softmax" && knows o ["axis"]%string &&
               says o "axis" (One 1) (One 1) && String.eqb (writes o) answer &&
               (S i =? List.length (made s))%nat &&
               (N.of_nat (channels (shape s i)) =? classes) then
          Some (made s)
      | _ => None
      end
  | o :: os' => let* s' := step cs s o in steps cs s' answer classes os'
  end.

(** ** The file *)

Definition graph_of (m : list field) : option (list node) :=
  let* cs := all_some (map constant_of (chunks 5 m)) in
  let* os := all_some (map operator_of (chunks 1 m)) in
  match chunks 11 m, chunks 12 m with
  | [image], [answer] =>
      let* (x, e, sizes) := value_of image in
      let* (y, e', sizes') := value_of answer in
      match sizes, sizes' with
      | [n; Size c; Size h; Size w], [n'; Size classes] =>
          only (e =? UINT8) && (e' =? FLOAT) && same_extension n n' &&
               distinct (x :: map name cs) && distinct (filter named (map label os)) then
          let pixels := Bytes (N.to_nat c) (N.to_nat h) (N.to_nat w) in
          steps cs (add {| known := [(x, Image)]; made := []; shapes := [] |} pixels) y classes os
      | _, _ => None
      end
  | _, _ => None
  end.

Definition length_of (file : bytes) : N :=
  n_of (fold_left (fun n _ => n + 1)%uint63 file 0%uint63).

Definition operators (file : bytes) : option (list node) :=
  let* m := message MODEL (Chunk 0 (length_of file) file) in
  only begins file && version_ok m then
  let* g := part GRAPH 7 m in graph_of g.

Definition read (file : bytes) : option (list node) := let* ns := operators file in normal_form ns.

(** The operators that were found, if any. *)
Definition if_any (found : option (list node)) : list node :=
  match found with Some l => l | None => [] end.
