(** * Columns times errors

    The fast checker keeps of each unit its columns with the bases' errors multiplied in: [M k g] is
    the column of unit [k] for [g], times the error of [g]. [W k] is what readers of [k] take it to
    be, its own error included if it is a base. From inequalities of these:

    - [radius_marks], [moved_marks]: ranges and changes;
    - [misfit_errors], [misfit_owns]: what units add to their forms.

    Rests on Forms.v and Numbers.v. Stands behind columns.py and forms.py. *)

From Coq Require Import Reals Lra Lia ZArith List.
From Lastbit Require Import Totals network.Duals network.Forms checker.Program checker.Numbers
  checker.Vectors.
Import ListNotations.
Open Scope R_scope.

Lemma total_diff {A} (f g : A -> R) l : total (map f l) - total (map g l) =
  total (map (fun x => f x - g x) l).
Proof.
  induction l as [|x l IH]; [unfold total; simpl; lra|]. cbn [map total fold_right] in *.
  unfold total in IH. lra.
Qed.

Lemma total_abs {A} (f : A -> R) l : Rabs (total (map f l)) <= total (map (fun x => Rabs (f x)) l).
Proof.
  induction l as [|x l IH]; [unfold total; simpl; rewrite Rabs_R0; lra|].
  cbn [map total fold_right]. apply Rle_trans with (1 := Rabs_triang _ _). unfold total in IH. lra.
Qed.

Lemma over_total {A} n (f : A -> nat -> R) l :
  over n (fun g => total (map (fun x => f x g) l)) = total (map (fun x => over n (f x)) l).
Proof.
  induction l as [|x l IH]; cbn [map].
  - unfold total. cbn [fold_right]. rewrite (over_ext n _ (fun _ => 0 * 1)) by (intros; ring).
    rewrite over_scale. ring.
  - change (total (?a :: ?b)) with (a + total b). rewrite <- IH, <- over_plus. reflexivity.
Qed.

Section Marks.
Variables (E : nat -> R) (M W : nat -> nat -> R) (base : nat -> Prop).
Hypothesis E_pos : forall g, 0 <= E g.

(** Without the error, where there is one. *)
Definition per (x : nat -> nat -> R) (k g : nat) : R := if Req_EM_T (E g) 0 then 0 else x k g / E g.
Notation A := (per M).

(** What a unit's columns and its own error are together. *)
Definition whole_mark (j g : nat) : R := if (g <? j)%nat then M j g else if (g =? j)%nat
  then E j else 0.

Lemma per_err x k g : Rabs (per x k g) * E g <= Rabs (x k g).
Proof.
  unfold per. destruct (Req_EM_T (E g) 0) as [->|N]; [rewrite Rmult_0_r; apply Rabs_pos|].
  assert (P := E_pos g). unfold Rdiv. rewrite Rabs_mult, Rabs_inv, (Rabs_pos_eq (E g)) by lra.
  right. field. lra.
Qed.

Lemma per_bound x k g (F : nat -> R) c : 0 <= c -> (x k g <> 0 -> 0 <= F g <= c * E g) ->
  Rabs (per x k g) * F g <= c * Rabs (x k g).
Proof.
  intros Hc H. destruct (Req_dec (x k g) 0) as [Z|N].
  - unfold per. rewrite Z.
    destruct (Req_EM_T (E g) 0); unfold Rdiv; rewrite ?Rmult_0_l, Rabs_R0, ?Rmult_0_l; lra.
  - specialize (H N). apply Rle_trans with (Rabs (per x k g) * (c * E g)).
    + apply Rmult_le_compat_l; [apply Rabs_pos|lra].
    + generalize (Rmult_le_compat_l c _ _ Hc (per_err x k g)). lra.
Qed.

Lemma radius_marks k : radius A E k <= over k (fun g => Rabs (M k g)) + E k.
Proof. unfold radius. apply Rplus_le_compat_r, over_le. intros g _. apply per_err. Qed.

(** [O]: what units add to their change; [T]: how large that is at most, in errors. *)
Lemma moved_marks O T k : (forall g, 0 <= T g) -> (forall g, M k g <> 0 -> 0 <= O g <= T g * E g) ->
  radius A O k <= over k (fun g => T g * Rabs (M k g)) + O k.
Proof.
  intros HT H. unfold radius. apply Rplus_le_compat_r, over_le. intros g _.
  now apply per_bound; [|apply H].
Qed.

Section Unit.
Variables (k : nat) (w : sparse) (missed : R).
Hypothesis w_below : forall x, In x w -> (num (snd x) < k)%nat.
Hypothesis w_missed :
  over k (fun g => Rabs (total (map (fun x => real (fst x) * W (num (snd x)) g) w) - M k g)) <=
  missed.

Notation L := (fun _ j => coef w j).

Lemma misfit_split V (F : nat -> R) : (forall g, 0 <= F g) ->
  over k (fun g => Rabs (misfit L A k g) * F g) <=
  total
  (map (fun x => Rabs (real (fst x)) * over k (fun g => Rabs (column A (num (snd x)) g - V (num
    (snd x)) g) * F g)) w) +
  over k (fun g => Rabs (total (map (fun x => real (fst x) * V (num (snd x)) g) w) - A k g) * F g).
Proof.
  intros HF.
  rewrite (total_map_ext _ (fun x =>
    over k (fun g => Rabs (real (fst x)) * (Rabs (column A (num (snd x)) g - V
    (num (snd x)) g) * F g))))
    by (intros; now rewrite over_scale).
  rewrite <- over_total, <- over_plus. apply over_le. intros g _. unfold misfit.
  rewrite (coef_sum k w (fun j => column A j g) w_below).
  set (S := total (map (fun x => real (fst x) * V (num (snd x)) g) w)). set (S' := total _).
  assert (D :
    Rabs (S' - S) * F g <=
    total (map (fun x => Rabs (real (fst x)) * (Rabs (column A (num (snd x)) g - V (num
    (snd x)) g) * F g)) w)).
  { unfold S', S. rewrite total_diff.
    rewrite (total_map_ext (fun x => Rabs (real (fst x)) * (Rabs (column A (num
      (snd x)) g - V (num (snd x)) g) * F g))
      (fun x => F g * Rabs (real (fst x) * (column A (num (snd x)) g - V (num (snd x)) g)))).
    - rewrite total_map_scale, (Rmult_comm _ (F g)). apply Rmult_le_compat_l; [apply HF|].
      apply Rle_trans with (1 := total_abs _ _).
      right. apply total_map_ext. intros x _. f_equal. ring.
    - intros x _. rewrite Rabs_mult. ring. }
  apply Rle_trans with (2 := Rplus_le_compat_r _ _ _ D). rewrite <- Rmult_plus_distr_r.
  apply Rmult_le_compat_r; [apply HF|]. replace (S' - A k g) with ((S' - S) + (S - A k g)) by ring.
  apply Rabs_triang.
Qed.

(** The sum of what readers see, [c] times. *)
Lemma kept_missed (F : nat -> R) c : 0 <= c ->
  (forall g, total (map (fun x => real (fst x) * W (num (snd x)) g) w) - M k g <> 0 ->
    0 <= F g <= c * E g) ->
  over k (fun g => Rabs (total (map (fun x => real (fst x) * per W (num (snd x)) g) w) - A k g) * F
    g) <= c * missed.
Proof.
  intros Hc H. apply Rle_trans with (2 := Rmult_le_compat_l c _ _ Hc w_missed).
  rewrite <- over_scale. apply over_le. intros g _.
  set (D := fun (_ g : nat) => total (map (fun x => real (fst x) * W (num (snd x)) g) w) - M k g).
  replace (total _ - A k g) with (per D k g); [exact (per_bound D k g F c Hc (H g))|].
  unfold per, D. destruct (Req_EM_T (E g) 0) as [Z|N].
  - rewrite (total_map_ext _ (fun x => 0 * real (fst x))) by (intros; ring).
    rewrite total_map_scale. ring.
  - unfold Rdiv. rewrite Rmult_minus_distr_r. f_equal. rewrite Rmult_comm, <- total_map_scale.
    apply total_map_ext. intros. ring.
Qed.

Lemma misfit_errors gap :
  (forall x, In x w -> over k (fun g => Rabs (whole_mark (num (snd x)) g - W (num (snd x)) g)) <=
  gap (snd x)) ->
  over k (fun g => Rabs (misfit L A k g) * E g) <=
  total (map (fun x => Rabs (real (fst x)) * gap (snd x)) w) + missed.
Proof.
  intros H. apply Rle_trans with (1 := misfit_split (per W) E E_pos). apply Rplus_le_compat.
  - apply total_map_le. intros x Hx. apply Rmult_le_compat_l; [apply Rabs_pos|].
    apply Rle_trans with (2 := H x Hx). apply over_le. intros g _.
    apply Rle_trans with (2 := per_err (fun j g => whole_mark j g - W j g) (num (snd x)) g).
    apply Req_le. unfold per, column, whole_mark.
    destruct (Req_EM_T (E g) 0) as [Z|N]; [rewrite Z; lra|]. f_equal. f_equal.
    destruct (g <? num (snd x))%nat; [field; lra|].
    destruct (Nat.eqb_spec g (num (snd x))) as [->|Q]; field; lra.
  - rewrite <- (Rmult_1_l missed). apply kept_missed; [lra|]. intros g _. generalize (E_pos g). lra.
Qed.

Section Owns.
Variable O : nat -> R.
Hypothesis O_pos : forall g, 0 <= O g.
Hypothesis tame : forall g, base g -> O g <= 4 * E g.

Lemma misfit_owns gap_own :
  (forall g, total (map (fun x => real (fst x) * W (num (snd x)) g) w) - M k g <> 0 -> base g) ->
  (forall x, In x w ->
    over k (fun g => Rabs (column A (num (snd x)) g - per W (num (snd x)) g) * O g) <=
    gap_own (snd x)) ->
  over k (fun g => Rabs (misfit L A k g) * O g) <=
  total (map (fun x => Rabs (real (fst x)) * gap_own (snd x)) w) +
    4 * missed.
Proof.
  intros B H. apply Rle_trans with (1 := misfit_split (per W) O O_pos). apply Rplus_le_compat.
  - apply total_map_le. intros x Hx. apply Rmult_le_compat_l; [apply Rabs_pos|]. now apply H.
  - apply kept_missed; [lra|]. intros g N. split; [apply O_pos|]. now apply tame, B.
Qed.
End Owns.
End Unit.

(** What a reader misses of the change of unit [j]: all that it adds, *)
Lemma column_owns k O j : (forall g, 0 <= O g) -> (j < k)%nat -> (forall g, W j g = M j g) ->
  (forall g, (j <= g)%nat ->
  M j g = 0) ->
  over k (fun g => Rabs (column A j g - per W j g) * O g) <= O j.
Proof.
  intros P Hj S B. right. rewrite (over_one k j _ Hj).
  - unfold column. rewrite Nat.ltb_irrefl, Nat.eqb_refl. unfold per. rewrite S, B by lia.
    destruct (Req_EM_T (E j) 0); unfold Rdiv; rewrite ?Rmult_0_l, Rminus_0_r, Rabs_R1; lra.
  - intros g _ N. unfold column. destruct (Nat.ltb_spec g j) as [L|L].
    + unfold per. rewrite S, Rminus_diag_eq by reflexivity. rewrite Rabs_R0. ring.
    + unfold per. rewrite S, B by lia. destruct (Nat.eqb_spec g j) as [|Q]; [lia|].
      destruct (Req_EM_T (E g) 0); unfold Rdiv; rewrite ?Rmult_0_l, Rminus_diag_eq by reflexivity;
        rewrite Rabs_R0; ring.
Qed.

(** or, of a base, the roundings of its line. *)
Lemma column_bases k O j gap : (forall g, 0 <= O g) ->
  (forall g, base g -> O g <= 4 * E g) -> base j ->
  (forall g, M j g <> 0 -> base g) -> (forall g, W j g <> 0 -> base g) ->
  over k (fun g => Rabs (whole_mark j g - W j g)) <= gap ->
  over k (fun g => Rabs (column A j g - per W j g) * O g) <= 4 * gap.
Proof.
  intros P Tame Bj BM BW H. apply Rle_trans with (2 := Rmult_le_compat_l 4 _ _ ltac:(lra) H).
  rewrite <- over_scale. apply over_le. intros g _. destruct (Req_EM_T (E g) 0) as [Z|N].
  - destruct (Req_dec (O g) 0) as [Z'|N'];
      [rewrite Z', Rmult_0_r; generalize (Rabs_pos (whole_mark j g - W j g)); lra|].
    assert (Nb : ~ base g) by (intros B; generalize (Tame g B) (P g); lra).
    assert (Q : column A j g - per W j g = 0).
    { unfold column, per. destruct (Req_EM_T (E g) 0) as [_|]; [|lra].
      destruct (g <? j)%nat; [lra|]. destruct (Nat.eqb_spec g j) as [->|]; [easy|lra]. }
    rewrite Q, Rabs_R0, Rmult_0_l. generalize (Rabs_pos (whole_mark j g - W j g)). lra.
  - set (D := fun j g => whole_mark j g - W j g).
    replace (column A j g - per W j g) with (per D j g).
    + apply (per_bound D); [lra|]. unfold D, whole_mark. intros K. split; [apply P|]. apply Tame.
      destruct (Req_dec (W j g) 0) as [Zw|Nw]; [|now apply BW]. rewrite Zw in K.
      destruct (Nat.ltb_spec g j).
      * apply BM. lra.
      * destruct (Nat.eqb_spec g j) as [->|]; [exact Bj|lra].
    + unfold per, D, column, whole_mark. destruct (Req_EM_T (E g) 0) as [|_]; [lra|].
      unfold per. destruct (Req_EM_T (E g) 0) as [|_]; [lra|].
      destruct (g <? j)%nat; [field; lra|]. destruct (Nat.eqb_spec g j) as [->|Q]; field; lra.
Qed.
End Marks.
