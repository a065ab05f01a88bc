(** * The units of a file, computed

    - [units_in]: the units of the network in a file as the checker takes them, a list for each
      operator, without the weights that are 0. Each operator's weights are read once, in the order
      in which they stand; a few of them are not 0, and those alone meet the positions of an output.

    A program; UnitsSound.v proves that it computes the units of File.v. Numbers of units are binary
    here, and numbers are over 2^100: biases are rounded to them, away from 0; [None] if another
    number is not a multiple of 2^-100. Rests on File.v and Asked.v. *)

From Coq Require Import List ZArith NArith Bool Uint63.
From Lastbit Require Import operations.Convolution checker.Asked onnx.File.
Import ListNotations.
Open Scope N_scope.

(** A unit without its terms of weight 0. *)
Definition strip (o : cunit) : cunit :=
  match o with CLinear ws bs over => CLinear (filter (fun w =>
    negb (fst w =? 0)%Z) ws) bs over | _ => o end.

Definition terms_of (o : cunit) : nat := match o with CLinear ws bs _ =>
  length ws + length bs | _ => 0 end.

(** The same unit with 1 times another one added. *)
Definition with_term (o : cunit) (k : positive) : cunit :=
  match o with CLinear ws bs over => CLinear (ws ++ [(one, k)]) bs over | _ => o end.

(** ** Numbers *)

(** A word as a number over 2^100, if its last digit is not below 2^-100. *)
Definition grid_of_word (w : Z) : option Z :=
  let e := Z.land (Z.shiftr w 23) 0xff in let f := Z.land w 0x7fffff in
  if (50 <=? e)%Z then let m := Z.shiftl (0x800000 + f) (e - 50) in
  Some (if (w <? 0x80000000)%Z then m else - m)%Z
  else if (e =? 0)%Z && (f =? 0)%Z then Some 0%Z else None.

(** The same rounded away from 0. *)
Definition grid_above (w : Z) : Z :=
  let n := units_of_word w in if (n <? 0)%Z then (n / 2 ^ 49)%Z else (- (- n / 2 ^ 49))%Z.

Definition grid_of_bytes (rounded : bool) (a b c d : int) : option Z :=
  if (a =? 0)%uint63 && (b =? 0)%uint63 && (c =? 0)%uint63 && (d =? 0)%uint63 then Some 0%Z
  else let w := (to_Z a + 0x100 * to_Z b + 0x10000 * to_Z c + 0x1000000 * to_Z d)%Z in
       match grid_of_word w with Some z => Some z | None => if rounded then Some (grid_above w)
         else None end.

(** One float for each of [xs], and what follows them. *)
Fixpoint floats {A} (rounded : bool) (xs : list A) (l : list int) :
  option (list (A * Z) * list int) :=
  match xs, l with
  | [], _ => Some ([], l)
  | x :: xs', a :: b :: c :: d :: l' =>
      match grid_of_bytes rounded a b c d with
      | None => None
      | Some z =>
          match floats rounded xs' l' with Some (ys, l'') => Some ((x, z) :: ys, l'')
            | None => None end
      end
  | _, _ => None
  end.

(** A place in a file, and the file from there on. *)
Definition cursor : Type := N * list int.
Definition skip (n : N) (l : list int) : list int := N.iter n (@tl int) l.
Definition seek (file : list int) (c : cursor) (at_ : N) : list int :=
  if fst c <=? at_ then skip (at_ - fst c) (snd c) else skip at_ file.

(** ** Convolutions *)

Definition upto (n : nat) : list N := map N.of_nat (seq 0 n).

(** Weights of one output channel: input channel of the group, row, column. *)
Definition spots (per rows cols : nat) : list (N * N * N) :=
  flat_map (fun i => flat_map (fun a => map (fun b => (i, a, b)) (upto cols)) (upto rows))
  (upto per).

Definition weighs {A} (x : A * Z) : bool := negb (snd x =? 0)%Z.

(** The weights that are not 0, for each channel of [os]. *)
Fixpoint channels_in {A} (xs : list A) (os : list N) (l : list int) :
  option (list (N * list (A * Z)) * list int) :=
  match os with
  | [] => Some ([], l)
  | o :: os' =>
      match floats false xs l with
      | None => None
      | Some (ys, l') =>
          match channels_in xs os' l' with
          | Some (cs, l'') => Some ((o, filter weighs ys) :: cs, l'')
          | None => None
          end
      end
  end.

Section Output.
Variables (over : option Z) (t_first t_height t_width stride_y stride_x top left : N).

(** The term of a weight at output [y], [x], of input channels from [c] on. *)
Definition reach (c y x : N) (tap : N * N * N * Z) : sparse :=
  let '(i, a, b, w) := tap in
  let u := y * stride_y + a in let v := x * stride_x + b in
  if (top <=? u) && (u <? top + t_height) && (left <=? v) && (v <? left + t_width)
  then [(w, N.succ_pos (t_first + (((c + i) * t_height + (u - top)) * t_width + (v - left))))]
  else [].

Definition outputs_of (shared per : N) (ys xs : list N) (oc : N * list (N * N * N * Z))
  (ob : N * Z) : list cunit :=
  let (o, taps) := oc in let (_, b) := ob in let c := o / shared * per in let bs := [b] in
  flat_map (fun y => map (fun x => CLinear (flat_map (reach c y x) taps) bs over) xs) ys.
End Output.

(** ** Operators *)

(** [n] keys from [p] on. *)
Fixpoint keys (p : positive) (n : nat) : list positive :=
  match n with O => [] | S n' => p :: keys (Pos.succ p) n' end.

Definition keys_from (first : nat) (n : nat) : list positive :=
  keys (N.succ_pos (N.of_nat first)) n.
Definition all_keys (t : tensor) : list positive := keys_from (first t) (units_of t).

(** The keys of a tensor's units, channel by channel. *)
Definition planes (t : tensor) : list (list positive) :=
  let f := N.of_nat (first t) in let n := area t in let m := N.of_nat n in
  map (fun c => keys (N.succ_pos (f + c * m)) n) (upto (channels t)).

Fixpoint both {A B C} (f : A -> B -> C) (l : list A) (m : list B) : list C :=
  match l, m with x :: l', y :: m' => f x y :: both f l' m' | _, _ => [] end.

Definition most : N := 0x8000.

(** The units of tensors, each added to the unit of [us] in the same place. *)
Definition with_tensor (us : list cunit) (first : nat) : list cunit :=
  both with_term us (keys_from first (length us)).
Definition with_tensors (us : list cunit) (firsts : list nat) : list cunit :=
  fold_left with_tensor firsts us.

Section File.
Variables (file : list int) (ts : list tensor).

(** The number by which is divided. *)
Definition number_in (c : cursor) (d : N) : option Z :=
  match floats false [tt] (seek file c d) with Some ([(_, z)], _) => Some z | _ => None end.

Definition over_in (c : cursor) (over : option N) : option (option Z) :=
  match over with
  | None => Some None
  | Some d => match number_in c d with Some z => Some (Some z) | None => None end
  end.

Definition node_units (c : cursor) (n : node) : option (list cunit * cursor) :=
  let at_ x := nth x ts nowhere in
  match n with
  | Bytes ch h w => Some (map CPixel (seq 0 (ch * h * w)), c)
  | Divide x d =>
      match number_in c d with
      | Some z => Some (map (fun j => CLinear [(one, j)] [] (Some z)) (all_keys (at_ x)), c)
      | None => None
      end
  | Conv x over others k =>
      let t := at_ x in let per := Nat.div (channels t) (w_groups k) in
      (* a sum is divided as a whole, or not at all *)
      let whole := match over, others with None, _ | _, [] => true | _, _ => false end in
      if (N.of_nat per * N.of_nat (w_rows k) * N.of_nat (w_cols k) +
        N.of_nat (length others) <? most) && whole then
        let l := seek file c (weights_at k) in let os := upto (w_outputs k) in
        match over_in c over, channels_in (spots per (w_rows k) (w_cols k)) os l,
              floats true os (seek file (weights_at k, l) (bias_at k)) with
        | Some z, Some (cs, _), Some (bs, _) =>
            let make := outputs_of z (N.of_nat (first t)) (N.of_nat (height t)) (N.of_nat (width t))
              (N.of_nat (w_stride_y k)) (N.of_nat (w_stride_x k)) (N.of_nat (w_top k)) (N.of_nat
                (w_left k))
              (N.of_nat (Nat.div (w_outputs k) (w_groups k))) (N.of_nat per) (upto (w_height k))
                (upto (w_width k)) in
            Some (with_tensors (concat (both make cs bs)) (map (fun y => first (at_ y)) others),
              (weights_at k, l))
        | _, _, _ => None
        end
      else None
  | Average x =>
      let n := area (at_ x) in
      if N.of_nat n <=? most
      then Some (map (fun js => CLinear (map (pair one) js) []
        (Some (Z.of_nat n * one)%Z)) (planes (at_ x)), c) else None
  | Curve x => Some (map CSilu (all_keys (at_ x)), c)
  | Squash x => Some (map CSigmoid (all_keys (at_ x)), c)
  | Gated x s =>
      let scales := keys_from (first (at_ s)) (channels (at_ x)) in
      Some (concat (both (fun js k => map (fun j => CGate j k) js) (planes (at_ x)) scales), c)
  | Plus xs =>
      if N.of_nat (length xs) <=? most
      then Some (with_tensors (map (fun _ =>
        CLinear [] [] None) (seq 0 (units_of (at_ (hd 0%nat xs)))))
                   (map (fun x => first (at_ x)) xs), c) else None
  end.

Fixpoint nodes_units (c : cursor) (ns : list node) : option (list (list cunit)) :=
  match ns with
  | [] => Some []
  | n :: ns' =>
      match node_units c n with
      | Some (us, c') =>
          match nodes_units c' ns' with Some uss => Some (us :: uss) | None => None end
      | None => None
      end
  end.
End File.

Definition units_in (file : list int) (ns : list node) : option (list (list cunit)) :=
  nodes_units file (layout ns) (0, file) ns.

Definition image_pixels (ns : list node) : nat := units_of (nth 0 (layout ns) nowhere).
Definition logit_keys (ns : list node) : list positive :=
  all_keys (nth (Nat.pred (length ns)) (layout ns) nowhere).
